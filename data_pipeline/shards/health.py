"""What the tokens of a source are like: figures by which a wrong language, binary data or a broken text shows."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LENGTH_BINS = 32  # powers of two: a document has fewer than 2^31 tokens, as the index holds them


@dataclass(frozen=True, slots=True)
class Health:
    """The figures of one source in one split. End-of-text tokens count nowhere but in the lengths.

    Attributes:
        text_tokens: all tokens but the end-of-text ones.
        entropy_bits: of the distribution of the ids, bits a token; rounded to 6 digits.
        used_ids: distinct ids that occur.
        repeated_tokens: that have the id of the one before in their document and are not white space: of a tokenizer
            that writes each blank of an indentation as a token, layout is no sign of broken text.
        single_byte_tokens: whose text is one byte.
        unknown_tokens: that stand for text which the vocabulary can't write.
        lengths: documents by the power of two that their tokens, end-of-text among them, reach: [1, 2), [2, 4), ...
        longest_tokens: of the longest document, end-of-text among them.
        longest_id: its id; the first of several in the order of the shards.
    """

    text_tokens: int
    entropy_bits: float
    used_ids: int
    repeated_tokens: int
    single_byte_tokens: int
    unknown_tokens: int
    lengths: list[int]
    longest_tokens: int
    longest_id: str

    def share(self, tokens: int) -> float:
        """Return what part of all text tokens these are; 0 where there are none."""
        return tokens / self.text_tokens if self.text_tokens else 0.0


@dataclass(slots=True)
class Tally:
    """Counts that add up exactly, whatever is counted first.

    Attributes:
        counts: (vocabulary,) int64, by id.
        repeated: tokens with the id of the one before, white space left out.
        lengths: (LENGTH_BINS,) int64, documents by the power of two of their tokens.
        longest: tokens and id of the longest document.
    """

    counts: np.ndarray
    repeated: int = 0
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(LENGTH_BINS, np.int64))
    longest: tuple[int, str] = (0, "")

    @classmethod
    def empty(cls, vocab_size: int) -> Tally:
        """Return one of nothing."""
        return cls(np.zeros(vocab_size, np.int64))

    def add_lengths(self, lengths: np.ndarray) -> None:
        """Count documents; lengths: (documents,) integers above 0."""
        bins = np.frexp(lengths.astype(np.float64))[1] - 1  # exact: below 2^53
        self.lengths += np.bincount(bins, minlength=LENGTH_BINS)

    def add(self, later: Tally) -> None:
        """Add what stands behind it in the order of the shards."""
        self.counts += later.counts
        self.repeated += later.repeated
        self.lengths += later.lengths
        if later.longest[0] > self.longest[0]:
            self.longest = later.longest

    def health(self, single_byte: np.ndarray, unknown_id: int | None) -> Health:
        """Return the figures.

        Args:
            single_byte: (vocabulary,) bool, ids whose text is one byte.
            unknown_id: of the token that stands for what the vocabulary can't write; None where there is none.
        """
        last = int(np.flatnonzero(self.lengths).max(initial=-1))
        return Health(
            text_tokens=int(self.counts.sum()),
            entropy_bits=entropy_bits(self.counts),
            used_ids=int(np.count_nonzero(self.counts)),
            repeated_tokens=self.repeated,
            single_byte_tokens=int(self.counts[single_byte].sum()),
            unknown_tokens=0 if unknown_id is None else int(self.counts[unknown_id]),
            lengths=self.lengths[: last + 1].tolist(),
            longest_tokens=self.longest[0],
            longest_id=self.longest[1],
        )


def blank_ids(pieces: Iterable[bytes | None]) -> np.ndarray:
    """Return which ids stand for white space alone, (vocabulary,) bool.

    Args:
        pieces: the bytes of the text behind each id, as `TokenBytes.pieces` has them.
    """
    return np.array([piece is not None and piece.decode(errors="replace").isspace() for piece in pieces], np.bool_)


def entropy_bits(counts: np.ndarray) -> float:
    """Return the entropy of a distribution in bits, rounded to 6 digits: so it is the same on any machine.

    Args:
        counts: (n,) int64.
    """
    total = int(counts.sum())
    if not total:
        return 0.0
    shares = counts[counts > 0] / total
    return round(math.fsum((-shares * np.log2(shares)).tolist()) + 0.0, 6)


def health_plainly(
    documents: Sequence[tuple[str, Sequence[int]]],
    single_byte: Sequence[bool],
    unknown_id: int | None,
    is_blank: Sequence[bool],
) -> dict[str, Any]:
    """Return the fields of `Health`, token by token; documents: (id, ids without end-of-text), in order."""
    counts = Counter(token for _, tokens in documents for token in tokens)
    total, lengths = counts.total(), Counter((len(tokens) + 1).bit_length() - 1 for _, tokens in documents)
    pairs = [pair for _, tokens in documents for pair in itertools.pairwise(tokens)]
    longest = max(documents, key=lambda each: len(each[1]), default=None)
    bits = -sum(count / total * math.log2(count / total) for count in counts.values())
    return {
        "text_tokens": total,
        "entropy_bits": round(bits + 0.0, 6),
        "used_ids": len(counts),
        "repeated_tokens": sum(first == second and not is_blank[second] for first, second in pairs),
        "single_byte_tokens": sum(count for token, count in counts.items() if single_byte[token]),
        "unknown_tokens": 0 if unknown_id is None else counts[unknown_id],
        "lengths": [lengths[place] for place in range(max(lengths, default=-1) + 1)],
        "longest_tokens": len(longest[1]) + 1 if longest else 0,
        "longest_id": longest[0] if longest else "",
    }
