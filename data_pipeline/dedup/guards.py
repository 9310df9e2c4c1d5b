"""Where deduplication is stopped: too much is glued together; two texts show why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data_pipeline.dedup.bands import Clusters
from data_pipeline.documents import SNIPPET_CHARS
from foundation.errors import GroundworkError
from foundation.progress import human
from foundation.text import one_line

_BYTES_A_KEPT = 8_000  # a document of 500 words, measured: its set and signature, twice while they are taken on
_SHOWN_CHARS = SNIPPET_CHARS // 2

TextsOf = Callable[[np.ndarray], list[str]]


class TooMuchAlike(GroundworkError):
    """Deduplication found more alike than was allowed."""


def check_clusters(found: Clusters, num_docs: int, max_cluster: int, texts_of: TextsOf) -> None:
    """Raise where bands connect more documents than may be.

    Raises:
        TooMuchAlike: says how many, and shows two of them.
    """
    labels, sizes = np.unique(found.clusters, return_counts=True)
    if not len(sizes) or sizes.max() <= max_cluster:
        return
    members = found.documents[found.clusters == labels[sizes.argmax()]]
    first, other = (one_line(text, _SHOWN_CHARS) for text in texts_of(members[[0, len(members) // 2]]))
    memory = human(int(sizes.max()) * _BYTES_A_KEPT, "B")
    raise TooMuchAlike(
        f"dedup.max_cluster: bands connect {sizes.max():,} of {num_docs:,} documents to one cluster, more than "
        f"{max_cluster:,}; the first of them begins {first!r}, another {other!r}. None goes for that alone: a document "
        f"goes when it is compared with a kept one and is like it. What it costs is time, and memory, {memory} "
        f"if all stay and have 500 words. With that at hand, set dedup.max_cluster={sizes.max()}. Else a higher "
        "dedup.threshold connects fewer, and a text that all have in common, a licence or a menu, can be taken out by "
        "a rule of clean="
    )
