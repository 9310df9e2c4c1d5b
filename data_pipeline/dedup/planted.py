"""A test of the configuration on the user's own text: near-duplicates are planted in a sample of it and sought.

Nothing here touches the corpus. What a pair's similarity is, is counted on plain sets of strings, apart from all
kernels and hashes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from data_pipeline.dedup.words import joined_words
from data_pipeline.documents import Removal

SIMILARITIES = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)  # Jaccard, of the pairs that are planted
MAX_PAIRS = 200
PAIR_WORDS = 400  # of a planted document: enough that one changed word is a hundredth of its shingles
MAX_DOCUMENTS = 400  # that are sampled

Similarity = Callable[[set[str], set[str]], float]


@dataclass(frozen=True, slots=True)
class Planted:
    """Pairs of documents, one after the other.

    Attributes:
        texts: of all documents.
        sets: their shingles.
    """

    texts: list[str]
    sets: list[set[str]]


@dataclass(frozen=True, slots=True)
class SelfTest:
    """How the planted pairs fared.

    Attributes:
        planted: pairs planted. similar: of these, at the threshold or above. found: of these, no longer both there.
        removed: documents that went. rightly: of these, similar enough to the one they went for.
    """

    planted: int
    similar: int
    found: int
    removed: int
    rightly: int

    @property
    def counts(self) -> dict[str, int]:
        """What reports show."""
        return {
            "planted_pairs": self.planted,
            "planted_similar": self.similar,
            "planted_found": self.found,
            "planted_removed": self.removed,
            "planted_removed_rightly": self.rightly,
        }

    def __str__(self) -> str:
        recall = f"{self.found:,} of {self.similar:,} at the threshold or above were found"
        return f"{self.planted:,} planted pairs: {recall}, {self.rightly:,} of {self.removed:,} removals right"


def plant(texts: list[str], ngram: int) -> Planted:
    """Cut texts into documents of PAIR_WORDS words and set beside each a copy, a run of its words replaced.

    Args:
        texts: of the corpus; short ones are laid end to end.
        ngram: words per shingle.
    """
    words = [word for text in texts for word in joined_words(text).decode().split(" ") if word]
    planted = Planted([], [])
    for number in range(min(len(words) // PAIR_WORDS, MAX_PAIRS)):
        document = words[number * PAIR_WORDS : (number + 1) * PAIR_WORDS]
        similarity = SIMILARITIES[number % len(SIMILARITIES)]
        shingles = max(PAIR_WORDS - ngram + 1, 1)
        # a run of r replaced words takes r + ngram - 1 shingles: s - x of s + x are in common
        lost = shingles * (1 - similarity) / (1 + similarity)
        run = max(round(lost) - ngram + 1, 1)
        start = (PAIR_WORDS - run) // 2
        copy = [*document[:start], *(f"planted{number}x{place}" for place in range(run)), *document[start + run :]]
        for each in (document, copy):
            planted.texts.append(" ".join(each))
            planted.sets.append({" ".join(each[i : i + ngram]) for i in range(shingles)})
    return planted


def judge_planted(planted: Planted, removals: list[Removal], similarity: Similarity, threshold: float) -> SelfTest:
    """Return how the pairs fared.

    Args:
        removals: what was found among `planted.texts`.
        similarity: of a removed document's set to the kept one's.
    """
    gone = {removal.position for removal in removals}
    sets = planted.sets
    pairs = [(i, i + 1) for i in range(0, len(sets), 2)]
    similar = [(a, b) for a, b in pairs if max(similarity(sets[a], sets[b]), similarity(sets[b], sets[a])) >= threshold]
    rightly = sum(
        removal.kept is not None
        and removal.kept not in gone
        and similarity(sets[removal.position], sets[removal.kept]) >= threshold
        for removal in removals
    )
    return SelfTest(len(pairs), len(similar), sum(bool(gone & set(pair)) for pair in similar), len(gone), rightly)


def jaccard(a: set[str], b: set[str]) -> float:
    """Return |a and b| / |a or b|."""
    return len(a & b) / len(a | b)


def containment(a: set[str], b: set[str]) -> float:
    """Return |a and b| / |a|; 0 where b is the smaller."""
    return len(a & b) / len(a) if len(b) >= len(a) else 0.0
