"""What deduplication looks at of a text: its words in lower case, joined by one space; in Python and as a kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from data_pipeline.compiled import array_kernel
from data_pipeline.documents import utf8_buffers

BLOCK_BYTES = 4 << 20
SPACE = np.uint8(32)
# What stands for a code point's lower case where that is no code point: white space, and what Python is asked for
GAP, IRREGULAR = np.uint32(0xFFFFFFFF), np.uint32(0xFFFFFFFE)
GIVEN_UP = -1  # the end of a document that has an irregular letter
SIGMA, DOTTED_I = 0x3A3, 0x130  # irregular: the one's lower case depends on its neighbours, the other's is two letters
SURROGATES = range(0xD800, 0xE000)  # no code points of a text


class Joined(NamedTuple):
    """The words of several texts: those of text i are data[starts[i] : stops[i]].

    Attributes:
        data: (b,) uint8.
        starts, stops: (n,) int64.
    """

    data: np.ndarray
    starts: np.ndarray
    stops: np.ndarray


def joined_words(text: str) -> bytes:
    """Return `text.lower().split()` joined by one space, in UTF-8."""
    return " ".join(text.lower().split()).encode()


def join_words(texts: pa.LargeStringArray, block_bytes: int = BLOCK_BYTES) -> Iterator[np.ndarray]:
    """Yield `joined_words` of each text, in order, as uint8; equal to it on every code point.

    Args:
        block_bytes: UTF-8 bytes of text held at a time, one longer document excepted.
    """
    for data, starts, stops in join_words_of_blocks(texts, block_bytes):
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            yield data[start:stop]


def join_words_of_blocks(texts: pa.LargeStringArray, block_bytes: int = BLOCK_BYTES) -> Iterator[Joined]:
    """Yield the same, many texts at a time. Arguments as of `join_words`."""
    data, offsets = utf8_buffers(texts)
    start = 0
    while start < len(texts):
        most = np.searchsorted(offsets, offsets[start] + block_bytes, side="right") - 1
        stop = max(int(most), start + 1)
        yield _joined(texts[start:stop], data, offsets[start : stop + 1])
        start = stop


def _joined(texts: pa.LargeStringArray, data: np.ndarray, offsets: np.ndarray) -> Joined:
    out = np.empty((offsets[-1] - offsets[0]) * 3 // 2 + 1, np.uint8)  # a letter of 2 bytes may become one of 3
    starts, stops = _lower_and_join(data, offsets, lower_cases(), out)
    given_up = np.flatnonzero(stops == GIVEN_UP)
    if not len(given_up):
        return Joined(out, starts, stops)
    by_python = [np.frombuffer(joined_words(texts[document].as_py()), np.uint8) for document in given_up.tolist()]
    ends = len(out) + np.cumsum([len(words) for words in by_python])
    starts[given_up], stops[given_up] = [len(out), *ends[:-1]], ends
    return Joined(np.concatenate([out, *by_python]), starts, stops)


@cache
def lower_cases() -> np.ndarray:
    """Return what stands for each code point, (0x110000,) uint32: its lower case, GAP or IRREGULAR."""
    table = np.arange(0x110000, dtype="<u4")
    regular = np.ones(len(table), bool)
    regular[[SIGMA, DOTTED_I, *SURROGATES]] = False
    text = table[regular].tobytes().decode("utf-32-le")
    table[regular] = np.frombuffer(text.lower().encode("utf-32-le"), "<u4")
    table[[ord(space) for space in re.findall(r"\s", text)]] = GAP
    table[[SIGMA, DOTTED_I]] = IRREGULAR
    return table


@array_kernel
def _lower_and_join(
    data: np.ndarray, offsets: np.ndarray, table: np.ndarray, out: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Write the joined words of each document to `out`; return where each begins and ends, or GIVEN_UP.

    A byte of ASCII takes no branch: what it becomes is written, and the place moves on unless it is a second gap.
    """
    ascii_ = np.where(table[:0x80] == GAP, SPACE, table[:0x80].astype(np.uint8))
    n = len(offsets) - 1
    starts, stops = np.zeros(n, np.int64), np.zeros(n, np.int64)
    at = 0
    for document in range(n):
        starts[document] = at
        after_gap = 1  # also at the beginning
        place, stop = offsets[document], offsets[document + 1]
        while place < stop:
            byte = data[place]
            if byte < 0x80:
                out[at] = ascii_[byte]
                is_gap = int(ascii_[byte] == SPACE)
                at += 1 - (is_gap & after_gap)
                after_gap = is_gap
                place += 1
                continue
            point, size = _decode(data, place)
            place += size
            lower = table[point]
            if lower == IRREGULAR:
                at = GIVEN_UP
                break
            if lower == GAP:
                out[at] = SPACE
                at += 1 - after_gap
                after_gap = 1
            else:
                at += _encode(lower, out, at)
                after_gap = 0
        if at > starts[document] and out[at - 1] == SPACE:
            at -= 1
        stops[document] = at
        at = max(at, starts[document])
    return starts, stops


@array_kernel
def _decode(data: np.ndarray, place: int) -> tuple[np.uint32, int]:
    """Return the code point at a place of valid UTF-8, and its bytes."""
    first = np.uint32(data[place])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & np.uint32(0x1F)) << np.uint32(6) | _tail(data, place + 1), 2
    if first < 0xF0:
        point = (first & np.uint32(0x0F)) << np.uint32(6) | _tail(data, place + 1)
        return point << np.uint32(6) | _tail(data, place + 2), 3
    point = (first & np.uint32(0x07)) << np.uint32(6) | _tail(data, place + 1)
    point = point << np.uint32(6) | _tail(data, place + 2)
    return point << np.uint32(6) | _tail(data, place + 3), 4


@array_kernel
def _tail(data: np.ndarray, place: int) -> np.uint32:
    return np.uint32(data[place]) & np.uint32(0x3F)


@array_kernel
def _encode(point: np.uint32, out: np.ndarray, at: int) -> int:
    """Write a code point as UTF-8; return its bytes."""
    if point < 0x80:
        out[at] = np.uint8(point)
        return 1
    size = 2 if point < 0x800 else 3 if point < 0x10000 else 4
    for i in range(size - 1, 0, -1):
        out[at + i] = np.uint8(0x80) | np.uint8(point & np.uint32(0x3F))
        point >>= np.uint32(6)
    out[at] = np.uint8((0xF00 >> size) & 0xFF) | np.uint8(point)
    return size
