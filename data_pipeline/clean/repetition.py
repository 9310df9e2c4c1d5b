"""How much of a text says again what it said before. Once in plain Python, once as a kernel over bytes.

A line ends with a newline; lines without a word are left out, and separate paragraphs. Words are `str.split()`. Lines,
paragraphs and words are compared as they are written, n-grams word by word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.chars import INNER, NEWLINE, PLAIN, byte_kinds, char_classes, gap_size, kernel
from data_pipeline.clean.numbering import (
    NUM_NUMBERS,
    NUM_PROBES,
    forget,
    number_of_key,
    number_of_span,
    table_of,
)
from data_pipeline.documents import utf8_buffers

TOP_N = (2, 3, 4)
DUPLICATE_N = (5, 6, 7, 8, 9, 10)
# Columns of what `repetition` returns; those of the n-grams follow, TOP_N and then DUPLICATE_N
(CHARS, LINES, DUPLICATE_LINES, DUPLICATE_LINE_CHARS, PARAGRAPHS, DUPLICATE_PARAGRAPHS, DUPLICATE_PARAGRAPH_CHARS) = (
    range(7)
)
FIRST_N_GRAM = 7
NUM_COLUMNS = FIRST_N_GRAM + len(TOP_N) + len(DUPLICATE_N)

_LAST_TOP, _LAST_N = TOP_N[-1], DUPLICATE_N[-1]
_BASE, _LINE_BASE = 31, np.int64(0x1E3779B97F4A7C15)  # of rolling hashes modulo 2^64, odd
_BYTES_A_WORD = 12  # and more, a distinct one: what a table begins with


def repetition_one(text: str) -> list[int]:
    """Return the measures of one text: the reference that `repetition` equals."""
    all_lines = text.split("\n")
    lines = [line for line in all_lines if line.split()]
    runs = groupby(all_lines, key=lambda line: bool(line.split()))
    paragraphs = ["\n".join(run) for has_words, run in runs if has_words]
    words = text.split()
    counts = [len(text), len(lines), *duplicates(lines), len(paragraphs), *duplicates(paragraphs)]
    tops = [top_n_gram_chars(words, n) for n in TOP_N]
    return counts + tops + [duplicate_n_gram_chars(words, n) for n in DUPLICATE_N]


def duplicates(elements: Sequence[str]) -> tuple[int, int]:
    """Return how many elements stood before already, and their characters."""
    seen: set[str] = set()
    again = [element for element in elements if element in seen or seen.add(element)]  # type: ignore[func-returns-value]
    return len(again), sum(map(len, again))


def top_n_gram_chars(words: Sequence[str], n: int) -> int:
    """Return the characters of the most frequent n-gram, joined by spaces, times its count; of several the first."""
    counts = Counter(" ".join(words[place : place + n]) for place in range(len(words) - n + 1))
    return max((len(n_gram) * count for n_gram, count in counts.most_common(1)), default=0)


def duplicate_n_gram_chars(words: Sequence[str], n: int) -> int:
    """Return the characters of n-grams that were seen before, from left to right; no word counts twice."""
    seen: set[tuple[str, ...]] = set()
    place, chars = 0, 0
    while place + n <= len(words):
        n_gram = tuple(words[place : place + n])
        if n_gram in seen:
            chars += sum(map(len, n_gram))
            place += n
        else:
            seen.add(n_gram)
            place += 1
    return chars


def repetition(texts: pa.LargeStringArray) -> np.ndarray:
    """Return (texts, NUM_COLUMNS) int64, column by column as the names above; no Python object a word.

    Args:
        texts: without nulls.
    """
    return counted_repetition(texts)[0]


def counted_repetition(texts: pa.LargeStringArray) -> tuple[np.ndarray, int]:
    """Return the same, and how many places of tables were looked at, which is in proportion to the bytes."""
    data, offsets = utf8_buffers(texts)
    measures = np.zeros((len(texts), NUM_COLUMNS), dtype=np.int64)
    most = int(np.diff(offsets).max(initial=0)) // 2 + 1  # words, or lines with a word
    words, lines, paragraphs, n_grams = (table_of(most) for _ in range(4))
    arrays = [np.empty(most, np.int32) for _ in range(6)]
    _repetition(data, offsets, byte_kinds(), char_classes(), words, lines, paragraphs, n_grams, *arrays, measures)
    return measures, sum(int(table.state[NUM_PROBES]) for table in (words, lines, paragraphs, n_grams))


@kernel
def _repetition(
    data: Any,
    offsets: Any,
    kinds: Any,
    classes: Any,
    words: Any,
    lines: Any,
    paragraphs: Any,
    n_grams: Any,
    word_numbers: Any,
    word_chars: Any,
    word_counts: Any,
    places: Any,
    numbers: Any,
    counts: Any,
    measures: Any,
) -> None:
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
    data: Any,
    start: int,
    stop: int,
    kinds: Any,
    classes: Any,
    words: Any,
    lines: Any,
    paragraphs: Any,
    word_numbers: Any,
    word_chars: Any,
    word_counts: Any,
    measures: Any,
) -> int:
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
                    line_slots,
                    line_spans,
                    line_state,
                    data,
                    line_start,
                    place,
                    line_key,
                    chars - line_chars,
                    measures,
                    LINES,
                )
                if par_start < 0:
                    par_start, par_chars, par_key = line_start, line_chars, 0
                par_key = (par_key ^ line_key) * _LINE_BASE
                par_stop, par_chars_end = place, chars
            elif par_start >= 0:
                _tell(
                    par_slots,
                    par_spans,
                    par_state,
                    data,
                    par_start,
                    par_stop,
                    par_key,
                    par_chars_end - par_chars,
                    measures,
                    PARAGRAPHS,
                )
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
                line_key = line_key * _BASE + np.int64(data[inner])
            place += gap
            chars += 1
            continue
        word_start, key, size = place, 0, 0
        while place < stop:
            byte = data[place]
            kind = kinds[byte]
            if kind != PLAIN and kind != INNER and gap_size(data, place, kinds, classes):
                break
            key = key * _BASE + np.int64(byte)
            size += kind != INNER
            place += 1
        chars += size
        line_key = (line_key ^ key) * _LINE_BASE
        known = word_state[NUM_NUMBERS]
        number = number_of_span(word_slots, word_spans, word_state, data, word_start, place, key)
        if number == known:
            word_counts[number] = 0
        word_counts[number] += 1
        word_numbers[num_words], word_chars[num_words] = number, size
        num_words += 1
    if par_start >= 0:
        _tell(
            par_slots,
            par_spans,
            par_state,
            data,
            par_start,
            par_stop,
            par_key,
            par_chars_end - par_chars,
            measures,
            PARAGRAPHS,
        )
    measures[CHARS] = chars
    return num_words


@kernel
def _tell(
    slots: Any,
    spans: Any,
    state: Any,
    data: Any,
    start: int,
    stop: int,
    key: Any,
    chars: int,
    measures: Any,
    column: int,
) -> None:
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
