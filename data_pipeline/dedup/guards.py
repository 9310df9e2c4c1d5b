"""Where deduplication is stopped: too much is glued together, or too much of a source goes; a text shows why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data_pipeline.dedup.bands import Clusters
from data_pipeline.documents import SNIPPET_CHARS, Removals
from foundation.errors import GroundworkError
from foundation.text import one_line

MIN_LOST = 100  # documents: of a smaller loss no one is warned, whatever its share

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
    first, other = (one_line(text, SNIPPET_CHARS) for text in texts_of(members[[0, len(members) // 2]]))
    raise TooMuchAlike(
        f"dedup.max_cluster: bands connect {sizes.max():,} of {num_docs:,} documents, more than {max_cluster:,} "
        f"({len(found.documents):,} documents are in {len(sizes):,} clusters). The first of them begins {first!r}, "
        f"another {other!r}. Where they are copies, set dedup.max_cluster higher; where they only have a text "
        "in common, take it out (clean=) or raise dedup.threshold"
    )


def check_losses(
    removals: Removals, source_of: np.ndarray, names: list[str], max_loss_frac: float, texts_of: TextsOf
) -> None:
    """Raise where near-duplicates are more of a source than may be.

    Args:
        removals: their positions count through `source_of`.
        source_of: (n,) integers, the place of each document's source in `names`.
    Raises:
        TooMuchAlike: says how many, and shows the text for which most of them went.
    """
    assert removals.kept is not None
    gone = source_of[removals.positions]
    for number, name in enumerate(names):
        lost, had = int((gone == number).sum()), int((source_of == number).sum())
        if lost < MIN_LOST or lost <= max_loss_frac * had:
            continue
        kept, times_kept = np.unique(removals.kept[gone == number], return_counts=True)
        hub, times = times_kept.argmax(), times_kept.max()
        text = one_line(texts_of(kept[[hub]])[0], SNIPPET_CHARS)
        raise TooMuchAlike(
            f"dedup.max_loss_frac: {lost:,} of {had:,} documents of source {name!r} ({lost / had:.1%}) are "
            f"near-duplicates, more than {max_loss_frac:.1%}; {times:,} of them of one that begins {text!r}. "
            "removed/near holds the evidence of each; where it is right, set dedup.max_loss_frac higher, else raise "
            "dedup.threshold"
        )
