"""The n-grams of a text as a linear model sees them: hashed into buckets and counted. In plain Python, and by a kernel.

Words are `text.lower().split()`. An n-gram of characters lies inside one word, with a space before and one after it, as
fastText's subwords do (arXiv:1607.04606, section 3.2); a text in a script without spaces has few words, and needs them.
The value of a bucket with `count` of a text's `total` n-grams is sqrt(count / total): the square root keeps frequent
words from drowning the others, and every text has a vector of length 1, be it long or short. It is the square root map
of a distribution (Jebara, Kondor and Howard, "Probability Product Kernels", JMLR 5, 2004, with rho 1/2).

Buckets are unsigned, as those of fastText, DSIR (arXiv:2302.03169) and Spark's HashingTF, by which GPT-3's classifier
was made (arXiv:2005.14165, appendix A): counts stay counts, of which a root can be taken, and n-grams that collide
share a weight. A sign (Weinberger et al., arXiv:0902.2206) makes inner products unbiased; here weights are learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.chars import char_classes, folded_codes
from data_pipeline.clean.ngram_kernels import (
    BASIS,
    BORDER,
    IRREGULAR,
    MAX_N,
    MIX_1,
    MIX_2,
    OF_CHARS,
    PRIME,
    WORD_BASE,
    count_ngrams,
    forget_counts,
    weigh_texts,
)
from data_pipeline.documents import utf8_buffers
from foundation.errors import require

MIN_BUCKETS, MAX_BUCKETS = 1 << 10, 1 << 24
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Ngrams:
    """Which n-grams are looked at.

    Attributes:
        word_ngrams: most words of an n-gram of words: 2 takes words and pairs of neighbours; 0: none are looked at.
        char_ngrams: lengths of the n-grams of characters, e.g. (3, 4, 5); empty: none are looked at.
        num_buckets: into which all are hashed, a power of two.
    Raises:
        SettingError: a value that can't work.
    """

    word_ngrams: int = 2
    char_ngrams: tuple[int, ...] = ()
    num_buckets: int = 1 << 18

    def __post_init__(self) -> None:
        words, chars, buckets = self.word_ngrams, self.char_ngrams, self.num_buckets
        require(0 <= words <= MAX_N, "word_ngrams", words, f"a number of words from 0 to {MAX_N}; 2 is usual")
        allowed = f"different lengths from 1 to {MAX_N}, ascending, e.g. [3, 4, 5], or [] for none"
        fits = list(chars) == sorted({n for n in chars if 1 <= n <= MAX_N})
        require(fits, "char_ngrams", list(chars), allowed)
        require(bool(words or chars), "word_ngrams", words, "1 or more, or lengths in char_ngrams: one kind is needed")
        is_power = buckets > 0 and buckets & (buckets - 1) == 0
        allowed = f"a power of two from {MIN_BUCKETS} to {MAX_BUCKETS}; {1 << 18} is usual"
        require(is_power and MIN_BUCKETS <= buckets <= MAX_BUCKETS, "num_buckets", buckets, allowed)

    @property
    def shift(self) -> np.uint64:
        """How far a hash is shifted right to be a bucket."""
        return np.uint64(64 - (self.num_buckets.bit_length() - 1))


def count_one(text: str, ngrams: Ngrams) -> Counter[int]:
    """Return how often each bucket is met in one text: the reference that `Counting` equals."""
    words = text.lower().split()
    hashes = [_hash(list(map(ord, word))) for word in words]
    values = []
    for n in range(1, ngrams.word_ngrams + 1):
        for first in range(len(hashes) - n + 1):
            powers = (hashed * int(WORD_BASE) ** (n - 1 - place) for place, hashed in enumerate(hashes[first:][:n]))
            values.append(sum(powers) + n)
    for word in words:
        chars = [BORDER, *map(ord, word), BORDER]
        for n in ngrams.char_ngrams:
            values += [_hash(chars[first : first + n]) + int(OF_CHARS) + n for first in range(len(chars) - n + 1)]
    return Counter(_mix(value & _MASK) >> int(ngrams.shift) for value in values)


def _hash(chars: list[int]) -> int:
    value = int(BASIS)
    for char in chars:
        value = (value ^ char) * int(PRIME) & _MASK
    return value


def _mix(value: int) -> int:
    value = (value ^ value >> 33) * int(MIX_1) & _MASK
    value = (value ^ value >> 33) * int(MIX_2) & _MASK
    return value ^ value >> 33


class Counting:
    """Room to count the n-grams of one text after the other: 8 bytes a bucket, and the tables of characters."""

    def __init__(self, ngrams: Ngrams) -> None:
        self._counts = np.zeros(ngrams.num_buckets, np.int32)
        self._touched = np.empty(ngrams.num_buckets, np.int32)
        lengths = np.array(ngrams.char_ngrams, np.int64)
        scratch = np.empty((2, MAX_N), np.uint64)
        settings = (char_classes(), folded_codes(), ngrams.word_ngrams, lengths, ngrams.shift)
        self._arguments: list[Any] = [*settings, *scratch, self._counts, self._touched]  # of both kernels

    def counts(self, texts: pa.LargeStringArray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield of each text its buckets, (m,) int32, ascending, and their counts, (m,) int32.

        Args:
            texts: without nulls.
        """
        data, offsets = utf8_buffers(texts)
        for place in range(len(texts)):
            num_touched = self._count(data, offsets[place], offsets[place + 1])
            if num_touched == IRREGULAR:
                lowered = _lowered(texts[place].as_py())
                num_touched = self._count(lowered, 0, len(lowered))
            buckets = np.sort(self._touched[:num_touched])
            counts = self._counts[buckets]
            forget_counts(self._counts, self._touched, num_touched)
            yield buckets, counts

    def logits(self, texts: pa.LargeStringArray, weights: np.ndarray, bias: float) -> np.ndarray:
        """Return of each text the bias and the sum of its values times the weights, (texts,) float64.

        Args:
            texts: without nulls.
            weights: (buckets,) float32.
        Returns:
            NaN for a text without an n-gram.
        """
        logits, irregular = np.empty(len(texts)), np.zeros(len(texts), bool)
        self._weigh(*utf8_buffers(texts), weights, bias, logits, irregular)
        for place in np.flatnonzero(irregular):
            lowered = _lowered(texts[int(place)].as_py())
            bounds = np.array([0, len(lowered)])
            self._weigh(lowered, bounds, weights, bias, logits[place : place + 1], irregular[place : place + 1])
        return logits

    def _count(self, data: np.ndarray, start: Any, stop: Any) -> int:
        arguments = [data, start, stop, *self._arguments]
        found: int = count_ngrams(*arguments)
        return found

    def _weigh(self, data: np.ndarray, offsets: np.ndarray, *of_model: Any) -> None:
        arguments = [data, offsets, *self._arguments, *of_model]
        weigh_texts(*arguments)


def _lowered(text: str) -> np.ndarray:
    return np.frombuffer(text.lower().encode(), np.uint8)
