"""Down-sampling: which training documents of a source are kept, where it is to give less than it has.

By a share: those whose lot is small enough, each for itself. By a budget: in the order of their lots, as long as they
fit. Either way more of either keeps the same documents and more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipeline.mix.lots import below
from data_pipeline.shards.budget import is_weight

REASON = "sampled_out"
ALLOWED = "a share of the documents above 0 and up to 1, e.g. 0.25, or the bytes of their text, e.g. {bytes: 3.0e+9}"


def is_kept_part(value: Any) -> bool:
    """Return whether a value, as a config holds it, says how much of a source is kept."""
    if isinstance(value, dict):
        return list(value) == ["bytes"] and is_weight(value["bytes"]) and value["bytes"] > 0
    return is_weight(value) and 0 < value <= 1


def kept(lots: np.ndarray, sizes: np.ndarray, keep: float | dict[str, float]) -> np.ndarray:
    """Return which of a source's documents are kept, (n,) bool: one at least.

    Args:
        lots: (n,) uint64, n at least 1.
        sizes: (n,) int64 UTF-8 bytes of the texts.
        keep: as `is_kept_part` allows.
    """
    order = np.argsort(lots, kind="stable")
    if isinstance(keep, dict):
        count = int(np.searchsorted(np.cumsum(sizes[order], dtype=np.int64), int(keep["bytes"]), side="right"))
        chosen = np.zeros(len(lots), bool)
        chosen[order[:count]] = True
    else:
        chosen = below(lots, keep)
    chosen[order[0]] = True
    return chosen


def kept_plainly(lots: Sequence[int], sizes: Sequence[int], keep: float | dict[str, float]) -> list[bool]:
    """Return what `kept` does, document by document."""
    held, chosen = 0, [False] * len(lots)
    for number, (lot, place) in enumerate(sorted((lot, place) for place, lot in enumerate(lots))):
        held += sizes[place]
        fits = held <= int(keep["bytes"]) if isinstance(keep, dict) else lot < int(keep * 2**64)
        chosen[place] = number == 0 or fits
    return chosen
