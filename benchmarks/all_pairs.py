"""The truth that a search for near-duplicates is held against: every pair of similar documents, in plain Python.

Similarity is the Jaccard similarity of two documents' sets of shingles, runs of words of `text.lower().split()`.
Nothing here is the project's own code: a shingle is a string, a set is compared whole.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from math import ceil
from typing import NamedTuple

import numpy as np


class Pairs(NamedTuple):
    """The similar pairs, each once.

    Attributes:
        first, second: (m,) int64, numbers of documents.
        similarity: (m,) float64.
    """

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray


def all_pairs(texts: Iterable[str], threshold: float, ngram: int) -> Pairs:
    """Return every pair of documents whose similarity is `threshold` or above.

    Of two sets that share enough, the parts that hold their rarest shingles share one too: a set of n shingles that
    must share s of them has one of these among any n - s + 1. So a document is compared with those alone that come up
    there; which ones these are changes no result.

    Args:
        threshold: above 0.
        ngram: words per shingle; a document of fewer words is one shingle of all.
    Source: Bayardo, Ma, Srikant, "Scaling Up All Pairs Similarity Search", WWW 2007.
    """
    sets = _rarest_first(texts, ngram)
    holders: defaultdict[int, list[int]] = defaultdict(list)  # shingle -> documents in whose part it is
    found: list[tuple[int, int, float]] = []
    for number, shingles in enumerate(sets):
        # |a and b| >= t |a or b| >= t |a|, and of b the same; rounding may only make the part longer
        must_share = max(ceil(threshold * len(shingles) - 1e-6), 1)
        part = shingles[: len(shingles) - must_share + 1].tolist()
        for other in set(itertools.chain.from_iterable(holders[shingle] for shingle in part)):
            similarity = jaccard(shingles, sets[other])
            if similarity >= threshold:
                found.append((other, number, similarity))
        for shingle in part:
            holders[shingle].append(number)
    columns = list(zip(*sorted(found), strict=True)) or [[], [], []]
    return Pairs(np.array(columns[0], np.int64), np.array(columns[1], np.int64), np.array(columns[2], np.float64))


def shingles_of(text: str, ngram: int) -> set[str]:
    """Return a document's set of shingles."""
    words = text.lower().split()
    return {" ".join(words[i : i + ngram]) for i in range(max(len(words) - ngram, 0) + 1)}


def _rarest_first(texts: Iterable[str], ngram: int) -> list[np.ndarray]:
    """Return each document's shingles as ascending numbers; those that fewer documents have come first."""
    numbers: dict[str, int] = {}
    sets = []
    for text in texts:
        held = [numbers.setdefault(shingle, len(numbers)) for shingle in shingles_of(text, ngram)]
        sets.append(np.array(held, np.int64))
    frequency = np.bincount(np.concatenate([np.zeros(0, np.int64), *sets]), minlength=len(numbers))
    rank = np.empty(len(numbers), np.int64)
    rank[np.argsort(frequency, kind="stable")] = np.arange(len(numbers))
    return [np.sort(rank[held]) for held in sets]


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Return |a and b| / |a or b| of two arrays without repeats."""
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / (len(a) + len(b) - common)


class Judged(NamedTuple):
    """How a side's removals fare against the truth.

    Attributes:
        removed: documents.
        without_witness: of these, those to which no kept document is similar.
        recall: share of the pairs of which not both are kept.
        recall_of: the same of each range of similarities; NaN where it has no pair.
    """

    removed: int
    without_witness: int
    recall: float
    recall_of: list[float]


def judge(pairs: Pairs, kept: set[int], num_docs: int, edges: tuple[float, ...]) -> Judged:
    """Hold what a side kept against the truth.

    Args:
        edges: lower ends of the ranges of similarity, ascending; the last one has no upper end.
    """
    stays = np.zeros(num_docs, bool)
    stays[list(kept)] = True
    has_witness = np.zeros(num_docs, bool)
    has_witness[pairs.second[stays[pairs.first]]] = True
    has_witness[pairs.first[stays[pairs.second]]] = True
    found = ~(stays[pairs.first] & stays[pairs.second])
    ranges = range_of(pairs, edges)
    recall_of = [_mean(found[ranges == number]) for number in range(len(edges))]
    return Judged(int((~stays).sum()), int((~stays & ~has_witness).sum()), _mean(found), recall_of)


def range_of(pairs: Pairs, edges: tuple[float, ...]) -> np.ndarray:
    """Return the number of the range of similarities that each pair is in, (m,) int64."""
    return np.searchsorted(edges, pairs.similarity, side="right") - 1


def _mean(found: np.ndarray) -> float:
    return float(found.mean()) if len(found) else float("nan")
