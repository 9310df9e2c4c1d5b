"""The kernels of repetition.py and fineweb.py: what a text has twice.

What occurs is numbered, exactly, by the tables of numbers.py. Kernels that call each other stand in this file, but for
those and what reads single characters (chars.py): numba's cache on disk doesn't notice a change of another file.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from data_pipeline.clean.chars import INNER, NEWLINE, PLAIN, decode_last, gap_size, kernel
from data_pipeline.clean.numbers import KEY_BYTES, NUM_NUMBERS, forget, number_of_key, number_of_span, number_of_word

TOP_N = (2, 3, 4)
DUPLICATE_N = (5, 6, 7, 8, 9, 10)
# Columns of what `measure_repetition` fills; those of the n-grams follow, TOP_N and then DUPLICATE_N
(CHARS, LINES, DUPLICATE_LINES, DUPLICATE_LINE_CHARS, PARAGRAPHS, DUPLICATE_PARAGRAPHS, DUPLICATE_PARAGRAPH_CHARS) = (
    range(7)
)
FIRST_N_GRAM = 7
NUM_COLUMNS = FIRST_N_GRAM + len(TOP_N) + len(DUPLICATE_N)

_LAST_TOP, _LAST_N = TOP_N[-1], DUPLICATE_N[-1]
_BASE, _LINE_BASE = 31, 0x1E3779B97F4A7C15  # of rolling hashes modulo 2^64, odd
_BYTES_A_WORD = 12  # and more, a distinct one: what a table begins with

# Columns of what `measure_lines` fills, the first two as above
ENDED_LINES, SHORT_LINES, REPEATED_CHARS, NEWLINES, WORDS = range(2, 7)
NUM_LINE_COLUMNS = 7


@kernel
def _hash(data: Any, start: int, stop: int) -> Any:
    key = 0
    for place in range(start, stop):
        key = key * _BASE + data[place]
    return key


@kernel
def measure_repetition(
    data: Any, offsets: Any, kinds: Any, classes: Any, words: Any, lines: Any, paragraphs: Any, n_grams: Any,
    word_numbers: Any, word_chars: Any, word_counts: Any, places: Any, numbers: Any, counts: Any, measures: Any,
) -> None:  # fmt: skip
    for text in range(offsets.size - 1):
        start, stop = offsets[text], offsets[text + 1]
        num_words = _read(
            data, start, stop, kinds, classes, words, lines, paragraphs, word_numbers, word_chars, word_counts,
            measures[text],
        )  # fmt: skip
        num = 0
        for place in range(num_words):
            if word_counts[word_numbers[place]] > 1:
                places[num], numbers[num] = place, word_numbers[place]
                num += 1
        for n in range(2, _LAST_N + 1):
            num = _lengthen(n, num, word_numbers, places, numbers, counts, n_grams)
            column = FIRST_N_GRAM + n - 2
            if n <= _LAST_TOP:
                measures[text, column] = _top_chars(n, num, num_words, places, numbers, counts, word_chars)
            else:
                measures[text, column] = _duplicate_chars(n, num, places, numbers, counts, word_chars)


@kernel
def _read(
    data: Any, start: int, stop: int, kinds: Any, classes: Any, words: Any, lines: Any, paragraphs: Any,
    word_numbers: Any, word_chars: Any, word_counts: Any, measures: Any,
) -> int:  # fmt: skip
    """Number the words of a text and measure its lines and paragraphs; return how many words it has."""
    word_slots, word_spans, word_state = words
    line_slots, line_spans, line_state = lines
    par_slots, par_spans, par_state = paragraphs
    forget(word_slots, word_state, (stop - start) // _BYTES_A_WORD)
    forget(line_slots, line_state, 0)
    forget(par_slots, par_state, 0)
    num_words, chars, place = 0, 0, start
    line_start, line_words, line_chars, line_key = start, 0, 0, 0
    par_start, par_stop, par_chars, par_chars_end, par_key = -1, start, 0, 0, 0
    while True:
        if place == stop or data[place] == NEWLINE:
            if num_words > line_words:
                _tell(
                    line_slots, line_spans, line_state, data, line_start, place, line_key, chars - line_chars,
                    measures, LINES,
                )  # fmt: skip
                if par_start < 0:
                    par_start, par_chars, par_key = line_start, line_chars, 0
                par_key = (par_key ^ line_key) * _LINE_BASE
                par_stop, par_chars_end = place, chars
            elif par_start >= 0:
                _tell(
                    par_slots, par_spans, par_state, data, par_start, par_stop, par_key, par_chars_end - par_chars,
                    measures, PARAGRAPHS,
                )  # fmt: skip
                par_start = -1
            if place == stop:
                break
            place += 1
            chars += 1
            line_start, line_words, line_chars, line_key = place, num_words, chars, 0
            continue
        gap = gap_size(data, place, kinds, classes)
        if gap:
            for inner in range(place, place + gap):
                line_key = line_key * _BASE + data[inner]
            place += gap
            chars += 1
            continue
        word_start, key, size = place, 0, 0
        while place < stop:
            byte = data[place]
            kind = kinds[byte]
            if kind != PLAIN and kind != INNER and gap_size(data, place, kinds, classes):
                break
            key = key << 8 | byte
            size += kind != INNER
            place += 1
        if place - word_start > KEY_BYTES:
            key = _hash(data, word_start, place)
        chars += size
        line_key = (line_key ^ key) * _LINE_BASE
        known = word_state[NUM_NUMBERS]
        number = number_of_word(word_slots, word_spans, word_state, data, word_start, place, key)
        if number == known:
            word_counts[number] = 0
        word_counts[number] += 1
        word_numbers[num_words], word_chars[num_words] = number, size
        num_words += 1
    if par_start >= 0:
        _tell(
            par_slots, par_spans, par_state, data, par_start, par_stop, par_key, par_chars_end - par_chars, measures,
            PARAGRAPHS,
        )  # fmt: skip
    measures[CHARS] = chars
    return num_words


@kernel
def _tell(
    slots: Any, spans: Any, state: Any, data: Any, start: int, stop: int, key: Any, chars: int, measures: Any,
    column: int,
) -> None:  # fmt: skip
    """Count a line or paragraph in `measures`: in `column`, and where it stood before in the two that follow."""
    measures[column] += 1
    known = state[NUM_NUMBERS]
    if number_of_span(slots, spans, state, data, start, stop, key) < known:
        measures[column + 1] += 1
        measures[column + 2] += chars


@kernel
def _lengthen(n: int, num: int, word_numbers: Any, places: Any, numbers: Any, counts: Any, table: Any) -> int:
    """Make the list of the repeated n-grams of that of the repeated (n-1)-grams, in place; return its length.

    Where an n-gram is repeated, so are both (n-1)-grams in it: few places are left to look at soon. An n-gram's key is
    the number of the first of them and that of its last word, so equal keys are equal n-grams.

    Args:
        num: how many repeated (n-1)-grams there are.
        places, numbers: (num, and more) int32: where each begins, in words, ascending, and its number.
        counts: filled with how often each n-gram occurs, by number.
    """
    slots, spans, state = table
    forget(slots, state, num)
    found = 0
    for at in range(num - 1):
        place = places[at]
        if places[at + 1] != place + 1:
            continue
        key = np.int64(numbers[at]) << 32 | np.int64(word_numbers[place + n - 1])
        known = state[NUM_NUMBERS]
        number = number_of_key(slots, spans, state, key)
        if number == known:
            counts[number] = 0
        counts[number] += 1
        places[found], numbers[found] = place, number
        found += 1
    repeated = 0
    for at in range(found):
        if counts[numbers[at]] > 1:
            places[repeated], numbers[repeated] = places[at], numbers[at]
            repeated += 1
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
    data: Any, offsets: Any, kinds: Any, classes: Any, is_end_mark: Any, short_line_chars: int, slots: Any,
    spans: Any, state: Any, measures: Any,
) -> None:  # fmt: skip
    for text in range(offsets.size - 1):
        forget(slots, state, 0)
        start, stop, found = offsets[text], offsets[text + 1], measures[text]
        place, words, chars, newlines, key, in_word = start, 0, 0, 0, 0, False
        line_start, line_words, line_chars = start, 0, 0
        while True:
            if place == stop or data[place] == NEWLINE:
                if words > line_words:
                    found[LINES] += 1
                    found[ENDED_LINES] += is_end_mark[decode_last(data, line_start, place)[0]]
                    found[SHORT_LINES] += chars - line_chars <= short_line_chars
                    known = state[NUM_NUMBERS]
                    if number_of_span(slots, spans, state, data, line_start, place, key) < known:
                        found[REPEATED_CHARS] += chars - line_chars
                if place == stop:
                    break
                place += 1
                chars += 1
                newlines += 1
                line_start, line_words, line_chars, key, in_word = place, words, chars, 0, False
                continue
            byte = data[place]
            kind = kinds[byte]
            key = key * _BASE + byte
            chars += kind != INNER
            place += 1
            if kind and kind != INNER:
                gap = gap_size(data, place - 1, kinds, classes)
                if gap:
                    in_word = False
                    for inner in range(place, place - 1 + gap):
                        key = key * _BASE + data[inner]
                    place += gap - 1
                    continue
            words += not in_word
            in_word = True
        found[CHARS], found[NEWLINES], found[WORDS] = chars, newlines, words
