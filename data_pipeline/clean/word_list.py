"""Finding the entries of a word list in texts: whole words, upper and lower case alike, also entries of several words.

An entry stands at a place where the folded characters are its own, and no letter, digit or underscore adjoins one of
its ends. A space in it stands for a run of white space. Of several that begin at a place the longest is taken, and
the search goes on behind it. Folding is that of `chars.fold`.

All entries are one trie over code points, which the kernel walks from every place where a word may begin: a text takes
time linear in its length, however many entries there are.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.chars import (
    fold,
    folded_codes,
)
from data_pipeline.clean.edits import Edits
from data_pipeline.compiled import array_kernel
from data_pipeline.documents import utf8_buffers
from data_pipeline.utf8 import decode, decode_last

_WORD, _SPACE = 1, 2  # classes of characters; 0 is any other
_NO_ENTRY = -1
_BLANK = 0x20
_BYTES_AN_ENTRY = 128  # of text; where there are more entries, they are counted before room is made for them


@dataclass(frozen=True, slots=True, eq=False)
class WordList:
    """Entries as the kernel reads them.

    Attributes:
        entries: folded, white space as single spaces, without doubles, in the order given.
        first_edge: (nodes + 1,) int64, where each node's edges begin; node 0 is the root.
        chars, nodes: (edges,) int64, by which code point an edge leads to which node; each node's ascending.
        entry_of: (nodes,) int64, the entry that ends at a node, or -1.
    """

    entries: tuple[str, ...]
    first_edge: np.ndarray
    chars: np.ndarray
    nodes: np.ndarray
    entry_of: np.ndarray

    @classmethod
    def of(cls, entries: Iterable[str]) -> WordList:
        """Make one; an entry of white space alone is none."""
        folded = tuple(dict.fromkeys(" ".join(fold(entry).split()) for entry in entries if entry.strip()))
        edges: list[dict[int, int]] = [{}]
        entry_of = [_NO_ENTRY]
        for number, entry in enumerate(folded):
            node = 0
            for code in map(ord, entry):
                if code not in edges[node]:
                    edges[node][code] = len(edges)
                    edges.append({})
                    entry_of.append(_NO_ENTRY)
                node = edges[node][code]
            entry_of[node] = number
        pairs = [pair for of_node in edges for pair in sorted(of_node.items())]
        chars, nodes = np.array(pairs, np.int64).reshape(-1, 2).T.copy()
        first_edge = np.cumsum([0, *map(len, edges)], dtype=np.int64)
        return cls(folded, first_edge, chars, nodes, np.array(entry_of, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Where entries stand, in the order of the texts.

    Attributes:
        texts: (found,) int64, the text's place.
        starts, stops: (found,) int64, UTF-8 bytes in it.
        entries: (found,) int64, which one.
    """

    texts: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    entries: np.ndarray

    def rows(self, chosen: np.ndarray) -> Found:
        """Return some of them.

        Args:
            chosen: (found,) bool.
        """
        return Found(self.texts[chosen], self.starts[chosen], self.stops[chosen], self.entries[chosen])

    def edits(self, texts: pa.LargeStringArray, pieces: list[str], which: np.ndarray) -> Edits:
        """Return edits that put one of `pieces` in place of each; which: (found,) int64."""
        begins = utf8_buffers(texts)[1][self.texts]
        return Edits(begins + self.starts, begins + self.stops, [piece.encode() for piece in pieces], which)


def find_in(texts: pa.LargeStringArray, words: WordList) -> Found:
    """Return where entries stand.

    Args:
        texts: without nulls.
    """
    data, offsets = utf8_buffers(texts)
    arrays = _classes(), folded_codes(), words.first_edge, words.chars, words.nodes, words.entry_of
    rows = np.empty((int(offsets[-1] - offsets[0]) // _BYTES_AN_ENTRY + 1, 4), np.int64)
    num_found = _find(data, offsets, *arrays, rows)
    if num_found > len(rows):
        rows = np.empty((num_found, 4), np.int64)
        _find(data, offsets, *arrays, rows)
    return Found(*rows[:num_found].T)


def find_in_one(text: str, words: WordList) -> list[tuple[int, int, int]]:
    """Return start and stop (characters) and entry of those in one text: the reference that `find_in` equals."""
    if not words.entries:
        return []
    numbers = {entry: number for number, entry in enumerate(words.entries)}
    choices = []
    for entry in sorted(words.entries, key=len, reverse=True):
        before, after = (r"(?<!\w)" if _is_word(entry[0]) else ""), (r"(?!\w)" if _is_word(entry[-1]) else "")
        choices.append(before + r"\s+".join(map(re.escape, entry.split())) + after)
    matches = re.finditer("|".join(choices), fold(text))
    return [(match.start(), match.end(), numbers[" ".join(match[0].split())]) for match in matches]


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


@functools.cache
def _classes() -> np.ndarray:
    """Return the class of every code point, (0x110000,) uint8; 0.2 s, once."""
    classes = bytearray(0x110000)
    for code in range(len(classes)):
        char = chr(code)
        classes[code] = _WORD if _is_word(char) else _SPACE if char.isspace() else 0
    return np.frombuffer(bytes(classes), dtype=np.uint8)


@array_kernel
def _find(
    data: Any,
    offsets: Any,
    classes: Any,
    folded: Any,
    first_edge: Any,
    chars: Any,
    nodes: Any,
    entry_of: Any,
    rows: Any,
) -> int:
    """Fill rows (found, 4) with text, start, stop, entry, as far as they reach; return how many there are."""
    num_found = 0
    for text in range(offsets.size - 1):
        start, stop = offsets[text], offsets[text + 1]
        place, after_word = start, False
        while place < stop:
            while after_word and place < stop and data[place] < 0x80 and classes[data[place]] == _WORD:
                place += 1
            if place == stop:
                break
            char, size = decode(data, place)
            is_word = classes[char] == _WORD
            end, entry = place, _NO_ENTRY
            if not (is_word and after_word):
                end, entry = _longest(data, place, stop, classes, folded, first_edge, chars, nodes, entry_of)
            if entry == _NO_ENTRY:
                place += size
                after_word = is_word
                continue
            if num_found < len(rows):
                rows[num_found, 0], rows[num_found, 1] = text, place - start
                rows[num_found, 2], rows[num_found, 3] = end - start, entry
            num_found += 1
            after_word = classes[decode_last(data, 0, end)[0]] == _WORD
            place = end
    return num_found


@array_kernel
def _longest(
    data: Any, place: int, stop: int, classes: Any, folded: Any, first_edge: Any, chars: Any, nodes: Any, entry_of: Any
) -> tuple[int, int]:
    """Return where the longest entry from `place` on ends, and which it is; -1 where there is none."""
    node, best_end, best_entry = 0, place, _NO_ENTRY
    while place < stop:
        char, size = decode(data, place)
        char_class = classes[char]
        is_space = char_class == _SPACE
        wanted = _BLANK if is_space else folded[char]
        edge = _edge(chars, first_edge[node], first_edge[node + 1], wanted)
        if edge < 0:
            break
        node = nodes[edge]
        place += size
        while is_space and place < stop:
            char, size = decode(data, place)
            if classes[char] != _SPACE:
                break
            place += size
        if entry_of[node] != _NO_ENTRY:
            adjoins = place < stop and char_class == _WORD and classes[decode(data, place)[0]] == _WORD
            if not adjoins:
                best_end, best_entry = place, entry_of[node]
    return best_end, best_entry


@array_kernel
def _edge(chars: Any, low: int, high: int, wanted: int) -> int:
    """Return the place of `wanted` in the ascending chars[low:high], or -1."""
    while low < high:
        middle = (low + high) // 2
        if chars[middle] < wanted:
            low = middle + 1
        elif chars[middle] > wanted:
            high = middle
        else:
            return middle
    return -1
