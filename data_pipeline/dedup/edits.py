"""What makes a near-duplicate of a text: edits of its words, each by an amount that brings the pair to a similarity.

Where a document has s shingles of n words, an edit costs it some and gives it others; each `amount` is what follows
from that for a Jaccard similarity of j if no shingle is there twice. What the pair then has, is counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """A way to make a near-duplicate.

    Attributes:
        amount: (s, n, j) -> how much of it.
        apply: (words, amount, words that are in no other text) -> the words of the copy.
    """

    amount: Callable[[int, int, float], float]
    apply: Callable[[list[str], int, Iterator[str]], list[str]]


def _lost(s: int, j: float) -> float:
    """Return how many shingles differ on either side of two documents with s each."""
    return s * (1 - j) / (1 + j)


def _replaced(words: list[str], amount: int, new: Iterator[str]) -> list[str]:
    start = (len(words) - amount) // 2
    return [*words[:start], *_some(new, amount), *words[start + amount :]]


def _scattered(words: list[str], amount: int, new: Iterator[str]) -> list[str]:
    copy = list(words)
    for place in range(amount):
        copy[(2 * place + 1) * len(words) // (2 * amount)] = next(new)
    return copy


def _inserted(words: list[str], amount: int, new: Iterator[str]) -> list[str]:
    middle = len(words) // 2
    return [*words[:middle], *_some(new, amount), *words[middle:]]


def _deleted(words: list[str], amount: int, new: Iterator[str]) -> list[str]:
    start = (len(words) - amount) // 2
    return [*words[:start], *words[start + amount :]]


def _truncated(words: list[str], amount: int, new: Iterator[str]) -> list[str]:
    return words[: len(words) - amount]


def _extended(words: list[str], amount: int, new: Iterator[str]) -> list[str]:
    return [*_some(new, (amount + 1) // 2), *words, *_some(new, amount // 2)]


def _reordered(words: list[str], amount: int, new: Iterator[str]) -> list[str]:
    """`amount` seams: the pieces between them in reverse order."""
    borders = [place * len(words) // (amount + 1) for place in range(amount + 2)]
    pieces = [words[start:stop] for start, stop in itertools.pairwise(borders)]
    return [word for piece in reversed(pieces) for word in piece]


def _some(new: Iterator[str], count: int) -> list[str]:
    return [next(new) for _ in range(count)]


EDITS: dict[str, Edit] = {
    "a run of words replaced": Edit(lambda s, n, j: _lost(s, j) - n + 1, _replaced),
    "single words replaced": Edit(lambda s, n, j: _lost(s, j) / n, _scattered),
    "words inserted": Edit(lambda s, n, j: (s - n + 1) / j - s - n + 1, _inserted),
    "words deleted": Edit(lambda s, n, j: s - n + 1 - j * (s + n - 1), _deleted),
    "cut short": Edit(lambda s, n, j: s * (1 - j), _truncated),
    "a head and a foot added": Edit(lambda s, n, j: s / j - s, _extended),
    "pieces in another order": Edit(lambda s, n, j: _lost(s, j) / max(n - 1, 1), _reordered),
}
