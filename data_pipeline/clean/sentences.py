"""Sentences counted, without a model and without a list of abbreviations.

A sentence ends at a run of marks (Unicode's Sentence_Terminal) and of closing quotes and brackets after the first of
them, where white space follows or where a mark of the run is none of ASCII (`。` needs no space after it). A run of one
full stop alone after a single letter, as in `J. Smith`, `e.g. this` and `the U.S. law`, ends none. What follows the
last end counts where it has a word.

Beside the tokenizers that C4 (NLTK's Punkt) and datatrove (spaCy's sentencizer) use this ends a sentence after longer
abbreviations, `Mr. Smith`, which Punkt knows by training and spaCy by its list.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from data_pipeline.clean.chars import (
    LETTER,
    SENTENCE_TERMINALS,
    SPACE,
    char_classes,
)
from data_pipeline.compiled import kernel
from data_pipeline.utf8 import decode, decode_last

_DOT = 0x2E
MARK, CLOSER = 1, 2  # what a character is to the end of a sentence; 0 is any other
CLOSERS = ('"', "'", ")", "]", "}", "»", "”", "’")


@functools.cache
def ends_of_sentences() -> np.ndarray:
    """Return what each code point is, (0x110000,) uint8: MARK, CLOSER or 0."""
    ends = np.zeros(0x110000, np.uint8)
    ends[[ord(char) for char in SENTENCE_TERMINALS]] = MARK
    ends[[ord(char) for char in CLOSERS]] = CLOSER
    return ends


@functools.cache
def mark_bytes() -> np.ndarray:
    """Return which bytes begin a mark in UTF-8, (256,) uint8."""
    begins = np.zeros(256, np.uint8)
    begins[[char.encode()[0] for char in SENTENCE_TERMINALS]] = 1
    return begins


def sentence_ends_one(line: str) -> list[int]:
    """Return where sentences of a line end, in characters: the reference that `sentence_end` equals."""
    ends: list[int] = []
    place = 0
    while place < len(line):
        if line[place] not in SENTENCE_TERMINALS:
            place += 1
            continue
        first = place
        while place < len(line) and line[place] in SENTENCE_TERMINALS + CLOSERS:
            place += 1
        run = line[first:place]
        wide = any(not char.isascii() for char in run if char in SENTENCE_TERMINALS)
        initial = run == "." and line[:first][-1:].isalpha() and not line[: first - 1][-1:].isalpha()
        if not initial and (wide or line[place : place + 1].isspace()):
            ends.append(place)
    return ends


def count_sentences_one(line: str) -> int:
    """Return the sentences of a line: the reference that `count_sentences` equals."""
    ends = sentence_ends_one(line)
    return len(ends) + bool(line[ends[-1] if ends else 0 :].split())


def count_sentences_of(line: str) -> int:
    """Return the sentences of a line, by the kernel: for tests and notebooks."""
    data = np.frombuffer(line.encode(), np.uint8)
    return int(count_sentences(data, 0, len(data), mark_bytes(), ends_of_sentences(), char_classes()))


@kernel
def count_sentences(data: Any, start: int, stop: int, mark_bytes: Any, ends: Any, classes: Any) -> int:
    """Return the sentences of data[start:stop].

    Args:
        mark_bytes: which bytes begin a mark, as of `mark_bytes`.
        ends: as of `ends_of_sentences`; classes: as of `char_classes`.
    """
    sentences, begin = 0, start
    while True:
        end = sentence_end(data, start, begin, stop, mark_bytes, ends, classes)
        if end < 0:
            break
        sentences += 1
        begin = end
    while begin < stop:
        char, size = decode(data, begin)
        if classes[char] != SPACE:
            return sentences + 1
        begin += size
    return sentences


@kernel
def sentence_end(data: Any, start: int, place: int, stop: int, mark_bytes: Any, ends: Any, classes: Any) -> int:
    """Return where the first sentence ends that does so behind `place` in the line data[start:stop]; -1: none does."""
    while True:
        while place < stop and not mark_bytes[data[place]]:
            place += 1
        if place == stop:
            return -1
        char, size = decode(data, place)
        if ends[char] != MARK:
            place += size
            continue
        first, wide = place, False
        while place < stop:
            char, size = decode(data, place)
            if not ends[char]:
                break
            wide |= ends[char] == MARK and size > 1
            place += size
        alone = place - first == 1 and data[first] == _DOT
        if alone and _after_initial(data, start, first, classes):
            continue
        if wide or (place < stop and classes[decode(data, place)[0]] == SPACE):
            return place


@kernel
def _after_initial(data: Any, start: int, stop: int, classes: Any) -> bool:
    """Return whether data[start:stop] ends with a single letter."""
    if stop == start:
        return False
    char, place = decode_last(data, start, stop)
    if classes[char] != LETTER:
        return False
    return place == start or classes[decode_last(data, start, place)[0]] != LETTER
