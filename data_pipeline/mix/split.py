"""The held-out split: which documents the model is validated on and never trained on.

Whether a document is held out is decided by its own lot, whatever other documents there are. A larger share holds out
the same ones and more. So the share holds in every part of the corpus as far as chance lets it, and what no chance may
leave empty has two ends on top: within each source, and within each group of a source that is not too small, the
document of the smallest lot is always held out, the one of the largest never. A source of one document is trained on.

The two ends alone depend on the other documents: where a source or group gets documents, loses some, or is grouped
otherwise, another one may be its end, and the former end goes where its lot puts it. So a document that one version of
a corpus holds out may be trained on in the next one: one at either end of each source and group, none beside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_pipeline.mix.lots import below
from foundation.errors import GroundworkError

MIN_GROUP_DOCS = 10  # of a group with ends of its own: of fewer, one held out would be more than a tenth


class SplitError(GroundworkError):
    """The corpus can't be split as the settings ask."""


class NoFieldError(SplitError):
    """No document has the field that the mixture goes by: another text or fewer removed ones would not help."""


def held_out(lots: np.ndarray, sources: np.ndarray, groups: np.ndarray, frac: float) -> np.ndarray:
    """Return which documents are held out, (n,) bool.

    Args:
        lots: (n,) uint64 of the corpus's documents.
        sources: (n,) integers, the source of each.
        groups: (n,) integers, the group of each; no group is of two sources.
        frac: share that is held out, in (0, 1).
    Raises:
        SplitError: no source has two documents.
    """
    chosen = below(lots, frac)
    for parts, least in ((groups, MIN_GROUP_DOCS), (sources, 1)):  # a source's only document is the last, and stays
        first, last = _ends(lots, parts, least)
        chosen[first], chosen[last] = True, False
    if not chosen.any():
        raise SplitError(
            f"mix: {len(lots)} document{'' if len(lots) == 1 else 's'} to split, where one of a source is to be held "
            "out and one of it to be left to train on; give more"
        )
    return chosen


def held_out_plainly(lots: Sequence[int], sources: Sequence[int], groups: Sequence[int], frac: float) -> list[bool]:
    """Return what `held_out` does, document by document."""
    chosen = [lot < int(frac * 2**64) for lot in lots]
    for parts, least in ((groups, MIN_GROUP_DOCS), (sources, 1)):
        for part in set(parts):
            mine = sorted((lot, place) for place, lot in enumerate(lots) if parts[place] == part)
            if len(mine) >= least:
                chosen[mine[0][1]], chosen[mine[-1][1]] = True, False
    return chosen


def _ends(lots: np.ndarray, parts: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the smallest and of the largest lot in each part of at least so many documents."""
    order = np.lexsort((lots, parts))
    starts = np.flatnonzero(np.diff(parts[order], prepend=-1))
    stops = np.append(starts[1:], len(order))
    enough = stops - starts >= least
    return order[starts[enough]], order[stops[enough] - 1]
