"""How much of a text says again what it said before. Once in plain Python, once as a kernel over bytes.

A line ends with a newline; lines without a word are left out, and separate paragraphs. Words are `str.split()`. Lines,
paragraphs and words are compared as they are written, n-grams word by word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa

from data_pipeline.clean.bounds import byte_signs, rooms_for
from data_pipeline.clean.chars import byte_kinds, char_classes
from data_pipeline.clean.numbers import NUM_PROBES, table_of
from data_pipeline.clean.repetition_kernels import DUPLICATE_N, FEWEST_TALLIES, NUM_COLUMNS, TOP_N, measure_repetition
from data_pipeline.documents import utf8_buffers


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
    """Return (texts, NUM_COLUMNS) int64, column by column as repetition_kernels names them; no Python object a word.

    Args:
        texts: without nulls.
    """
    return counted_repetition(texts)[0]


def counted_repetition(texts: pa.LargeStringArray) -> tuple[np.ndarray, int]:
    """Return the same, and how many places of tables were looked at, which is in proportion to the bytes."""
    data, offsets = utf8_buffers(texts)
    measures = np.zeros((len(texts), NUM_COLUMNS), dtype=np.int64)
    longest = int(np.diff(offsets).max(initial=0))
    most = longest // 2 + 1  # words, or lines with a word
    tables = [table_of(most) for _ in ("words", "lines", "paragraphs", "n-grams")]
    lists = [np.empty(most + DUPLICATE_N[-1], np.int32) for _ in range(6)]
    lists += [np.empty(most, np.int64), np.empty(8 * most + FEWEST_TALLIES, np.uint8)]
    rooms = [*rooms_for(longest), np.empty(longest + 1, np.int32)]
    arguments = [data, offsets, byte_kinds(), char_classes(), byte_signs(), *tables, *lists, *rooms, measures]
    measure_repetition(*arguments)
    return measures, sum(int(table.state[NUM_PROBES]) for table in tables)
