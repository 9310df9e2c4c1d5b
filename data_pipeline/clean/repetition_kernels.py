"""The kernels of repetition.py and fineweb.py: what a text has twice.

What occurs is numbered, exactly, by the tables of numbers.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from data_pipeline.clean.bounds import (
    IS_WIDE,
    KEY_BYTES,
    count_chars,
    count_words,
    find_newlines,
    find_words,
    hash_span,
    is_blank,
    key_of_word,
)
from data_pipeline.clean.numbers import NUM_NUMBERS, STATE, forget, home, number_keys, number_of_span, number_words
from data_pipeline.compiled import kernel
from data_pipeline.utf8 import decode_last

TOP_N = (2, 3, 4)
DUPLICATE_N = (5, 6, 7, 8, 9, 10)
# Columns of what `measure_repetition` fills; those of the n-grams follow, TOP_N and then DUPLICATE_N
(CHARS, LINES, DUPLICATE_LINES, DUPLICATE_LINE_CHARS, PARAGRAPHS, DUPLICATE_PARAGRAPHS, DUPLICATE_PARAGRAPH_CHARS) = (
    range(7)
)
FIRST_N_GRAM = 7
NUM_COLUMNS = FIRST_N_GRAM + len(TOP_N) + len(DUPLICATE_N)

_LAST_TOP, _LAST_N = TOP_N[-1], DUPLICATE_N[-1]
_BASE = 0x1E3779B97F4A7C15  # of hashes modulo 2^64, odd
FEWEST_TALLIES = 64
_LINES_A_PARAGRAPH = 4  # about
_BYTES_A_WORD = 12  # and more, a distinct one: what a table begins with

# Columns of what `measure_lines` fills, the first two as above
ENDED_LINES, SHORT_LINES, REPEATED_CHARS, NEWLINES, WORDS = range(2, 7)
NUM_LINE_COLUMNS = 7


@kernel
def measure_repetition(
    data: Any, offsets: Any, kinds: Any, classes: Any, signs: Any, words: Any, lines: Any, paragraphs: Any,
    n_grams: Any, word_numbers: Any, word_chars: Any, word_counts: Any, places: Any, numbers: Any, counts: Any,
    keys: Any, tally: Any, gaps: Any, bounds: Any, found: Any, ends: Any, measures: Any,
) -> None:  # fmt: skip
    for number in range(offsets.size - 1):
        text = data[offsets[number] : offsets[number + 1]]
        num_words = find_words(text, kinds, classes, signs, gaps, bounds, found)
        _number_words(text, num_words, bounds, found, words, keys, word_numbers, word_chars, word_counts)
        _read_lines(text, classes, ends, lines, paragraphs, measures[number])
        measures[number, CHARS] = count_chars(text)
        num = 0
        for place in range(num_words):
            places[num], numbers[num] = place, word_numbers[place]
            num += word_counts[word_numbers[place]] > 1
        for n in range(2, _LAST_N + 1):
            num = _lengthen(n, num, word_numbers, places, numbers, counts, keys, tally, n_grams)
            column = FIRST_N_GRAM + n - 2
            if n <= _LAST_TOP:
                measures[number, column] = _top_chars(n, num, num_words, places, numbers, counts, word_chars)
            else:
                measures[number, column] = _duplicate_chars(n, num, places, numbers, counts, word_chars)


@kernel
def _number_words(
    text: Any, num_words: int, bounds: Any, found: Any, table: Any, keys: Any, word_numbers: Any, word_chars: Any,
    word_counts: Any,
) -> None:  # fmt: skip
    """Number the words of a text, and count the characters of each and how often each number occurs."""
    for word in range(num_words):
        first, last = bounds[2 * word], bounds[2 * word + 1]
        size = last - first
        end = key_of_word(text, last - min(size, KEY_BYTES), last)  # without a branch: of short words it counts nothing
        keys[word] = np.int64(key_of_word(text, first, last)) + (size > KEY_BYTES) * _BASE * np.int64(end)
        if size > 2 * KEY_BYTES:  # addresses, mostly: what tells them apart may stand between
            keys[word] = hash_span(text, first, last)
        is_wide = found[2 * word + 1] & IS_WIDE > 0
        word_chars[word] = count_chars(text[first:last]) if is_wide else size
    forget(table, (bounds[2 * num_words - 1] - bounds[0]) // _BYTES_A_WORD if num_words else 0)
    number_words(table, text, num_words, bounds, keys, word_numbers, word_counts)


@kernel
def _read_lines(text: Any, classes: Any, ends: Any, lines: Any, paragraphs: Any, measures: Any) -> None:
    """Measure the lines and paragraphs of a text.

    Args:
        ends: (bytes + 1, and more) int32, as `find_newlines` fills it.
    """
    num_newlines = find_newlines(text, ends)
    forget(lines, num_newlines)
    forget(paragraphs, num_newlines // _LINES_A_PARAGRAPH)
    line_start, par_start, par_stop, par_key = 0, -1, 0, 0
    for line in range(num_newlines + 1):
        line_stop = ends[line] if line < num_newlines else text.size
        if not is_blank(text, line_start, line_stop, classes):
            key = hash_span(text, line_start, line_stop)
            _tell(lines, text, line_start, line_stop, key, measures, LINES)
            if par_start < 0:
                par_start, par_key = line_start, 0
            par_stop, par_key = line_stop, (par_key ^ key) * _BASE
        elif par_start >= 0:
            _tell(paragraphs, text, par_start, par_stop, par_key, measures, PARAGRAPHS)
            par_start = -1
        line_start = line_stop + 1
    if par_start >= 0:
        _tell(paragraphs, text, par_start, par_stop, par_key, measures, PARAGRAPHS)


@kernel
def _tell(table: Any, text: Any, start: int, stop: int, key: Any, measures: Any, column: int) -> None:
    """Count a line or paragraph in `measures`: in `column`, and where it stood before in the two that follow."""
    measures[column] += 1
    known = table[STATE][NUM_NUMBERS]
    if number_of_span(table, text, start, stop, key) < known:
        measures[column + 1] += 1
        measures[column + 2] += count_chars(text[start:stop])


@kernel
def _lengthen(
    n: int, num: int, word_numbers: Any, places: Any, numbers: Any, counts: Any, keys: Any, tally: Any, table: Any
) -> int:
    """Make the list of the repeated n-grams of that of the repeated (n-1)-grams, in place; return its length.

    Where an n-gram is repeated, so are both (n-1)-grams in it: few places are left to look at soon. An n-gram's key is
    the number of the first of them and that of its last word, so equal keys are equal n-grams. Most keys occur once:
    they are left out by a tally of hashes, which takes no branch, before the others are numbered.

    Args:
        num: how many repeated (n-1)-grams there are.
        places, numbers: (num, and more) int32: where each begins, in words, ascending, and its number.
        counts: filled with how often each n-gram occurs, by number.
    """
    mask = FEWEST_TALLIES
    while mask < 4 * num:
        mask *= 2
    tally[:mask] = 0
    mask -= 1
    found = 0
    for at in range(num - 1):
        place = places[at]
        key = np.int64(numbers[at]) << 32 | np.int64(word_numbers[place + n - 1])
        keys[found], places[found] = key, place
        followed = places[at + 1] == place + 1
        slot = home(key) & mask
        tally[slot] = tally[slot] << followed | followed
        found += followed
    repeated = 0
    for at in range(found):
        key = keys[at]
        keys[repeated], places[repeated] = key, places[at]
        repeated += tally[home(key) & mask] > 1
    forget(table, repeated)
    number_keys(table, repeated, keys, numbers, counts)
    found, repeated = repeated, 0
    for at in range(found):
        places[repeated], numbers[repeated] = places[at], numbers[at]
        repeated += counts[numbers[at]] > 1
    return repeated


@kernel
def _top_chars(n: int, num: int, num_words: int, places: Any, numbers: Any, counts: Any, word_chars: Any) -> int:
    """Return the characters of the most frequent n-gram, times its count; where none is repeated it is the first."""
    most, first = 1, 0
    for at in range(num):
        if counts[numbers[at]] > most:
            most, first = counts[numbers[at]], places[at]
    if num_words < n:
        return 0
    return most * (_chars_of(n, first, word_chars) + n - 1)


@kernel
def _duplicate_chars(n: int, num: int, places: Any, numbers: Any, counts: Any, word_chars: Any) -> int:
    """Return the characters of n-grams that were seen before, from left to right; turns the counts of seen ones."""
    chars, begin = 0, 0
    for at in range(num):
        if places[at] < begin:
            continue
        if counts[numbers[at]] < 0:
            chars += _chars_of(n, places[at], word_chars)
            begin = places[at] + n
        else:
            counts[numbers[at]] = -counts[numbers[at]]
    return chars


@kernel
def _chars_of(n: int, place: int, word_chars: Any) -> int:
    chars = 0
    for word in range(place, place + n):
        chars += word_chars[word]
    return chars


@kernel
def measure_lines(
    data: Any, offsets: Any, kinds: Any, classes: Any, is_end_mark: Any, short_line_chars: int, table: Any, gaps: Any,
    ends: Any, measures: Any,
) -> None:  # fmt: skip
    for number in range(offsets.size - 1):
        text, sums = data[offsets[number] : offsets[number + 1]], measures[number]
        sums[WORDS] = count_words(text, kinds, classes, gaps)
        sums[CHARS] = count_chars(text)
        sums[NEWLINES] = find_newlines(text, ends)
        is_ascii = sums[CHARS] == text.size
        forget(table, sums[NEWLINES])
        first = 0
        for line in range(sums[NEWLINES] + 1):
            last = ends[line] if line < sums[NEWLINES] else text.size
            if not is_blank(text, first, last, classes):
                sums[LINES] += 1
                sums[ENDED_LINES] += is_end_mark[decode_last(text, first, last)[0]]
                chars = last - first if is_ascii else count_chars(text[first:last])
                sums[SHORT_LINES] += chars <= short_line_chars
                known = table[STATE][NUM_NUMBERS]
                if number_of_span(table, text, first, last, hash_span(text, first, last)) < known:
                    sums[REPEATED_CHARS] += chars
            first = last + 1
