"""A test of the configuration on the user's own text: near-duplicates are planted in a sample of it and sought.

Nothing here touches the corpus. What a pair's similarity is, is counted on plain sets of tuples of words, apart from
all kernels and hashes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data_pipeline.dedup.edits import EDITS, Edit
from data_pipeline.dedup.lsh import SCurve
from data_pipeline.dedup.words import joined_words
from data_pipeline.documents import Removal

LEVELS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)  # Jaccard, of the pairs that are planted
LENGTHS = (25, 60, 150, 400, 1500)  # words of a planted document
MAX_PAIRS = len(LEVELS) * len(LENGTHS) * len(EDITS)  # each level, length and edit once
MIN_PAIRS = 10  # fewer say nothing
MAX_DOCUMENTS = 400  # that are sampled, in runs at SAMPLED_PLACES: of a large corpus as many partitions are read
SAMPLED_PLACES = 8
LEAST_RECALL = 0.95  # of planted pairs; of a few dozen one or two may be missed by chance
WITHIN = 0.025  # a pair lands at its level or less than this above it, or it is left out
TRIES = 3  # of amounts
CHARS_A_WORD = 8  # of text that is taken: more than words of most languages have

Shingles = set[tuple[str, ...]]
Similarity = Callable[[Shingles, Shingles], float]


@dataclass(frozen=True, slots=True)
class Pair:
    """What was planted: places of LEVELS, the name of an edit."""

    level: int
    edit: str


@dataclass(frozen=True, slots=True)
class Planted:
    """Pairs of documents, one after the other.

    Attributes:
        texts: of all documents.
        sets: their shingles.
        pairs: of each two of them.
    """

    texts: list[str]
    sets: list[Shingles]
    pairs: list[Pair]


@dataclass(frozen=True, slots=True)
class Fared:
    """How some planted pairs fared.

    Attributes:
        name: what they have in common.
        planted: pairs planted.
        connected: of these, those that bands connect: what the S-curve speaks of.
        similar: of all, those at the threshold or above by the configured rule.
        found: of the similar ones, no longer both there.
    """

    name: str
    planted: int
    connected: int
    similar: int
    found: int


@dataclass(frozen=True, slots=True)
class SelfTest:
    """How the planted pairs fared.

    Attributes:
        levels: by their Jaccard similarity, each level or up to WITHIN above. edits: by what made them.
        removed: documents that went. rightly: of these, similar enough to the kept one they went for.
        curve: what bands are expected to find.
    """

    levels: list[Fared]
    edits: list[Fared]
    removed: int
    rightly: int
    curve: SCurve

    def _sum(self, field: str) -> int:
        return sum(getattr(level, field) for level in self.levels)

    @property
    def planted(self) -> int:
        """Pairs planted."""
        return self._sum("planted")

    @property
    def similar(self) -> int:
        """Of these, at the threshold or above."""
        return self._sum("similar")

    @property
    def found(self) -> int:
        """Of the similar ones, no longer both there."""
        return self._sum("found")

    @property
    def counts(self) -> dict[str, int]:
        """The sums, as reports show them."""
        return {
            "planted_pairs": self.planted,
            "planted_similar": self.similar,
            "planted_found": self.found,
            "planted_removed": self.removed,
            "planted_removed_rightly": self.rightly,
        }

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        by_level = ", ".join(f"{each.name}: {each.found} of {each.similar}" for each in self.levels if each.similar)
        similar = f"{self.found:,} of {self.similar:,} at the threshold or above were found"
        return f"{self.planted:,} planted pairs: {similar}, {self.rightly:,} of {self.removed:,} removals right" + (
            f"\nfound by Jaccard similarity: {by_level}" if by_level else ""
        )

    @property
    def misses(self) -> bool:
        """Whether the settings find too few, or remove what they should not."""
        return self.found < LEAST_RECALL * self.similar or self.rightly < self.removed


def sampled(num_docs: int) -> np.ndarray:
    """Return the positions of the documents that are planted from, (m,) int64; one of each place in turn."""
    if num_docs <= MAX_DOCUMENTS:
        return np.arange(num_docs)
    places = np.arange(SAMPLED_PLACES) * num_docs // SAMPLED_PLACES
    return (places + np.arange(MAX_DOCUMENTS // SAMPLED_PLACES)[:, None]).ravel()


def plant(texts: list[str], ngram: int) -> Planted:
    """Cut texts into documents and set beside each a copy, edited so that both have one of LEVELS in common.

    Args:
        texts: of the corpus; their beginnings are laid end to end. Where these end, no more is planted.
        ngram: words per shingle.
    """
    most_chars = CHARS_A_WORD * len(LEVELS) * len(EDITS) * sum(LENGTHS) // max(len(texts), 1)
    begins = (joined_words(text[:most_chars]).decode() for text in texts)
    words = [word for begin in begins for word in begin.split(" ") if word]
    planted, start = Planted([], [], []), 0
    for number in range(MAX_PAIRS):
        level, turn = number % len(LEVELS), number // len(LEVELS)
        length, edit = LENGTHS[turn % len(LENGTHS)], list(EDITS)[turn % len(EDITS)]  # coprime: in time, all of both
        document = words[start : start + length]
        start += length
        if start > len(words):
            break
        mine = shingles(document, ngram)
        made = _copy(document, mine, EDITS[edit], LEVELS[level], ngram, number)
        if made is not None:
            copy, its = made
            planted.texts.extend((" ".join(document), " ".join(copy)))
            planted.sets.extend((mine, its))
            planted.pairs.append(Pair(level, edit))
    return planted


def _copy(
    document: list[str], mine: Shingles, edit: Edit, level: float, ngram: int, number: int
) -> tuple[list[str], Shingles] | None:
    """Return an edited copy whose similarity is at the level or a little above, and its shingles; None: there is none.

    The first amount is what follows from the level; the others follow from what was then measured. In a short document
    one changed word may be too much already.
    """
    wanted = _distance(level)
    amount = int(edit.amount(len(document) - ngram + 1, ngram, level))
    for _ in range(TRIES):
        amount = min(max(amount, 1), len(document) - 1)
        copy = edit.apply(document, amount, (f"planted{number}x{place}" for place in itertools.count()))
        its = shingles(copy, ngram)
        measured = jaccard(mine, its)
        if level <= measured < level + WITHIN:
            return copy, its
        scaled = int(amount * wanted / max(_distance(measured), 1e-3))
        amount = min(scaled, amount - 1) if measured < level else max(scaled, amount + 1)
    return None


def _distance(similarity: float) -> float:
    """Return what grows about as the amount of an edit does."""
    return (1 - similarity) / (1 + similarity)


def shingles(words: list[str], ngram: int) -> Shingles:
    """Return the set of runs of `ngram` words, of fewer words the one of all."""
    size = min(ngram, len(words))
    return set(zip(*(words[first:] for first in range(size)), strict=False))


def judge_planted(
    planted: Planted,
    removals: list[Removal],
    cluster_of: dict[int, int],
    similarity: Similarity,
    threshold: float,
    curve: SCurve,
) -> SelfTest:
    """Return how the pairs fared.

    Args:
        removals: what was found among `planted.texts`.
        cluster_of: position of a text -> what bands connect it with; those that are alone are missing.
        similarity: of a removed document's set to the kept one's.
        threshold: of it.
        curve: what bands are expected to find.
    """
    gone, sets = {removal.position for removal in removals}, planted.sets
    fates = []
    for pair in range(len(planted.pairs)):
        a, b = 2 * pair, 2 * pair + 1
        alike = max(similarity(sets[a], sets[b]), similarity(sets[b], sets[a])) >= threshold
        connected = a in cluster_of and cluster_of[a] == cluster_of.get(b)
        fates.append((1, connected, alike, alike and bool(gone & {a, b})))
    rightly = sum(
        removal.kept is not None
        and removal.kept not in gone
        and similarity(sets[removal.position], sets[removal.kept]) >= threshold
        for removal in removals
    )
    return SelfTest(
        levels=_fared([f"{LEVELS[pair.level]:g}" for pair in planted.pairs], fates, [f"{each:g}" for each in LEVELS]),
        edits=_fared([pair.edit for pair in planted.pairs], fates, list(EDITS)),
        removed=len(gone),
        rightly=rightly,
        curve=curve,
    )


def _fared(names: list[str], fates: Sequence[tuple[int, ...]], order: list[str]) -> list[Fared]:
    """Return the sums of the fates of each name."""
    columns = np.array(fates, np.int64).reshape(-1, 4)
    sums = ((name, columns[[each == name for each in names]].sum(axis=0).tolist()) for name in order)
    return [Fared(name, *numbers) for name, numbers in sums if numbers[0]]


def jaccard(a: Shingles, b: Shingles) -> float:
    """Return |a and b| / |a or b|."""
    common = len(a & b)
    return common / (len(a) + len(b) - common)


def containment(a: Shingles, b: Shingles) -> float:
    """Return |a and b| / |a|; 0 where b is the smaller."""
    return len(a & b) / len(a) if len(b) >= len(a) else 0.0
