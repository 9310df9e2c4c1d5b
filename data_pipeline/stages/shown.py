"""Samples of a limit: documents nearest to it on both sides, and some by lot, of what breaks it and of what does not.

A document's lot is a hash of its place in its source. So the same documents are drawn whoever looks, and in whichever
order; candidates of partitions are merged to those of the corpus. Only the text of the few that are drawn is read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_pipeline.clean.histogram import Side
from data_pipeline.clean.rules import Scores
from data_pipeline.documents import hash_pairs

NEAREST, BY_LOT = 0, 1
KINDS = ("nearest", "by lot")
PER_KIND = 5  # of each side of the limit
CANDIDATE = np.dtype(
    [
        ("side", "<i4"),  # number of the limit's end
        ("outside", "?"),  # whether it breaks the limit
        ("kind", "<i4"),  # NEAREST or BY_LOT
        ("distance", "<f8"),  # of the score from the limit; 0 of those by lot
        ("lot", "<u8"),
        ("index", "<i8"),  # of the document
        ("value", "<f8"),  # its score
        ("alone", "?"),  # whether nothing else takes it
    ]
)
_MOST = (PER_KIND, 2 * PER_KIND)  # candidates of each kind: of those by lot some are nearest, too
_FEW = 1 << 10  # among so many documents there are mostly enough
_SEED = np.uint64(0x5EED)


def lots(files: np.ndarray, rows: np.ndarray, first_file: int) -> np.ndarray:
    """Return a lot for each document, (n,) uint64.

    Args:
        files, rows: (n,) keys of documents of one source.
        first_file: number of the source's first file: another source changes no lot.
    """
    places = (files.astype(np.int64) - first_file).view(np.uint64) ^ (_SEED << np.uint64(32))
    return hash_pairs(places, rows.astype(np.int64).view(np.uint64))[1]


def candidates(of: Sequence[Side], scores: Scores, times: np.ndarray, lot: np.ndarray, first_index: int) -> np.ndarray:
    """Return the documents of a partition that may be drawn, (n,) CANDIDATE.

    Args:
        of: the ends of all limits.
        times: (documents,) int64: how many reasons each has to go.
        lot: (documents,) uint64.
        first_index: index of the first document.
    """
    by_lot = np.argsort(lot, kind="stable")
    found = [np.zeros(0, CANDIDATE)]
    for number, side in enumerate(of):
        values = side.limit.values(scores)
        is_there, is_outside = ~np.isnan(values), side.outside(values)
        for outside in (False, True):
            mine = is_there & (is_outside == outside)
            if not mine.any():
                continue
            first = by_lot[:_FEW] if mine[by_lot[:_FEW]].sum() >= _MOST[BY_LOT] else by_lot
            drawn = first[mine[first]][: _MOST[BY_LOT]]
            distance = np.where(mine, side.distance(values), np.inf)
            for kind, positions in ((NEAREST, _nearest(distance, mine, lot)), (BY_LOT, drawn)):
                rows = np.zeros(len(positions), CANDIDATE)
                rows["side"], rows["outside"], rows["kind"] = number, outside, kind
                rows["distance"] = distance[positions] if kind == NEAREST else 0.0
                rows["lot"], rows["index"], rows["value"] = lot[positions], first_index + positions, values[positions]
                rows["alone"] = times[positions] == outside
                found.append(rows)
    return best(np.concatenate(found))


def best(rows: np.ndarray) -> np.ndarray:
    """Return those that may still be drawn of the candidates of several partitions, (m,) CANDIDATE, in their order."""
    rows = rows[np.lexsort([rows[name] for name in ("index", "lot", "distance", "kind", "outside", "side")])]
    groups = np.stack([rows["side"], rows["outside"], rows["kind"]], axis=1)
    starts = np.flatnonzero(np.r_[True, (np.diff(groups, axis=0) != 0).any(axis=1)][: len(rows)])
    lengths = np.diff(np.r_[starts, len(rows)])
    rank = np.arange(len(rows)) - np.repeat(starts, lengths)
    kept: np.ndarray = rows[rank < np.array(_MOST)[rows["kind"]]]
    return kept


def drawn(rows: np.ndarray) -> np.ndarray:
    """Return the samples, (m,) CANDIDATE by side and score; what is nearest is not drawn by lot once more.

    Args:
        rows: as `best` left the candidates of all partitions.
    """
    kept = [np.zeros(0, CANDIDATE)]
    for side in np.unique(rows["side"]):
        mine = rows[rows["side"] == side]
        near = mine[mine["kind"] == NEAREST]
        for outside in (False, True):
            by_lot = mine[(mine["kind"] == BY_LOT) & (mine["outside"] == outside)]
            kept.append(by_lot[~np.isin(by_lot["index"], near["index"])][:PER_KIND])
        kept.append(near)
    samples = np.concatenate(kept)
    order = np.lexsort([samples[name] for name in ("index", "value", "kind", "side")])
    return samples[order]


def _nearest(distance: np.ndarray, mine: np.ndarray, lot: np.ndarray) -> np.ndarray:
    """Return the positions of the PER_KIND least distances, of equal ones those with the least lots."""
    positions = np.flatnonzero(mine)
    if len(positions) > PER_KIND:
        farthest = np.partition(distance[positions], PER_KIND - 1)[PER_KIND - 1]
        positions = positions[distance[positions] <= farthest]
    order = np.lexsort((lot[positions], distance[positions]))
    chosen: np.ndarray = positions[order[:PER_KIND]]
    return chosen
