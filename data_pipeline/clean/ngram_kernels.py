"""The kernels of ngrams.py and classifier.py: the hashed n-grams of a text are counted, and weighed by a linear model.

A word's hash is FNV-1a over the code points of its small letters (RFC 9923); an n-gram of words is a polynomial of
their hashes. What is mixed at the end is fmix64 of MurmurHash3 (Austin Appleby, public domain), whose upper bits are
the bucket. A change of any of it is another `linear_model.VERSION`: models hold weights of buckets.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from data_pipeline.clean.chars import (
    SPACE,
)
from data_pipeline.compiled import kernel
from data_pipeline.utf8 import decode

MAX_N = 8  # of either kind of n-gram; what lies before the last so many words or characters is forgotten
IRREGULAR = -1  # in place of a count: a letter whose small form is not one letter, or hangs on its neighbours
SIGMA, DOTTED_I = 0x3A3, 0x130  # these: the first hangs on its neighbours, the second's small form is two letters
BORDER = 0x20  # before and after a word, for its n-grams of characters
BASIS, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a, 64 bits
WORD_BASE = np.uint64(0x9E3779B97F4A7C15)  # of the polynomial of words, odd
OF_CHARS = np.uint64(1 << 32)  # n-grams of characters are hashed apart from those of words
MIX_1, MIX_2, MIX_SHIFT = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53), np.uint64(33)


@kernel
def _mix(value: Any) -> Any:
    value = (value ^ (value >> MIX_SHIFT)) * MIX_1
    value = (value ^ (value >> MIX_SHIFT)) * MIX_2
    return value ^ (value >> MIX_SHIFT)


@kernel
def _count(value: Any, shift: Any, counts: Any, touched: Any, num_touched: int) -> int:
    """Count one n-gram; return how many buckets are touched."""
    bucket = np.int64(_mix(value) >> shift)
    if counts[bucket] == 0:
        touched[num_touched] = bucket
        num_touched += 1
    counts[bucket] += 1
    return num_touched


@kernel
def _count_words(
    words: Any, num_words: int, word_ngrams: int, shift: Any, counts: Any, touched: Any, num_touched: int
) -> int:
    """Count the n-grams that end with the last word."""
    sum_, power = np.uint64(0), np.uint64(1)
    for n in range(1, min(word_ngrams, num_words) + 1):
        sum_ += words[(num_words - n) % MAX_N] * power
        power *= WORD_BASE
        num_touched = _count(sum_ + np.uint64(n), shift, counts, touched, num_touched)
    return num_touched


@kernel
def _count_chars(
    chars: Any, num_chars: int, lengths: Any, shift: Any, counts: Any, touched: Any, num_touched: int
) -> int:
    """Count the n-grams that end with the last character."""
    for n in lengths:
        if n > num_chars:
            continue
        value = BASIS
        for back in range(n, 0, -1):
            value = (value ^ chars[(num_chars - back) % MAX_N]) * PRIME
        num_touched = _count(value + (OF_CHARS + np.uint64(n)), shift, counts, touched, num_touched)
    return num_touched


@kernel
def count_ngrams(
    data: Any, start: int, stop: int, classes: Any, lower: Any, word_ngrams: int, lengths: Any, shift: Any,
    words: Any, chars: Any, counts: Any, touched: Any,
) -> int:  # fmt: skip
    """Count the n-grams of the text data[start:stop], which is valid UTF-8.

    Args:
        classes, lower: `chars.char_classes`, `chars.folded_codes`.
        word_ngrams: most words of an n-gram of words.
        lengths: (k,) int64, of the n-grams of characters.
        shift: 64 - log2(buckets), uint64.
        words, chars: (MAX_N,) uint64, scratch.
        counts: (buckets,) int32 of zeros; receives how often each bucket was met.
        touched: (buckets,) int32; receives those that were, in the order in which they first were.
    Returns:
        How many were; IRREGULAR, and `counts` zero again, where Python has to make the small letters.
    """
    num_touched, num_words, place = 0, 0, start
    while place < stop:
        char, size = decode(data, place)
        if classes[char] == SPACE:
            place += size
            continue
        value, num_chars = BASIS, 1
        chars[0] = BORDER
        if lengths.size:
            num_touched = _count_chars(chars, num_chars, lengths, shift, counts, touched, num_touched)
        while place < stop:
            char, size = decode(data, place)
            if classes[char] == SPACE:
                break
            if char in (SIGMA, DOTTED_I):
                forget_counts(counts, touched, num_touched)
                return IRREGULAR
            place += size
            small = np.uint64(lower[char])
            value = (value ^ small) * PRIME
            if lengths.size:
                chars[num_chars % MAX_N] = small
                num_chars += 1
                num_touched = _count_chars(chars, num_chars, lengths, shift, counts, touched, num_touched)
        if lengths.size:
            chars[num_chars % MAX_N] = BORDER
            num_touched = _count_chars(chars, num_chars + 1, lengths, shift, counts, touched, num_touched)
        words[num_words % MAX_N] = value
        num_words += 1
        num_touched = _count_words(words, num_words, word_ngrams, shift, counts, touched, num_touched)
    return num_touched


@kernel
def forget_counts(counts: Any, touched: Any, num_touched: int) -> None:
    """Set the counts that were touched to zero."""
    for place in range(num_touched):
        counts[touched[place]] = 0


@kernel
def weigh_texts(
    data: Any, offsets: Any, classes: Any, lower: Any, word_ngrams: int, lengths: Any, shift: Any,
    words: Any, chars: Any, counts: Any, touched: Any, weights: Any, bias: float, logits: Any, irregular: Any,
) -> None:  # fmt: skip
    """Fill `logits` (texts,) float64, NaN where a text has no n-gram, and `irregular` (texts,) bool: those to redo."""
    for text in range(offsets.size - 1):
        num_touched = count_ngrams(
            data, offsets[text], offsets[text + 1], classes, lower, word_ngrams, lengths, shift, words, chars, counts,
            touched,
        )  # fmt: skip
        irregular[text] = num_touched == IRREGULAR
        total, sum_ = 0, 0.0
        for place in range(num_touched):
            bucket = touched[place]
            total += counts[bucket]
            sum_ += weights[bucket] * np.sqrt(np.float64(counts[bucket]))
            counts[bucket] = 0
        logits[text] = bias + sum_ / np.sqrt(np.float64(total)) if total else np.nan


@kernel
def weigh_rows(offsets: Any, buckets: Any, counts: Any, weights: Any, bias: float, logits: Any) -> None:
    """Fill `logits` (rows,) float64 of rows that hold counted n-grams, as `ngrams.Rows` does."""
    for row in range(offsets.size - 1):
        total, sum_ = 0, 0.0
        for place in range(offsets[row], offsets[row + 1]):
            total += counts[place]
            sum_ += weights[buckets[place]] * np.sqrt(np.float64(counts[place]))
        logits[row] = bias + sum_ / np.sqrt(np.float64(total)) if total else np.nan
