"""A user's table of words, from the config or a file, and where texts hold its words: whole ones, by one kernel.

A word is a run of letters, marks, digits and `_`, with apostrophes (`'`, `’`) inside: `don't` is one word, `well-read`
are two. A table's word in small letters stands for any case of it; one with a capital for itself alone.

Format of a file, in UTF-8:

- `.json`: `{"teh": "the"}`, or by language or domain: `{"en": {"teh": "the"}, "de": {...}}`;
- any other name: an entry a line, `teh<tab>the` or `teh<tab>the<tab>en`. Empty lines, and lines that begin with `#`,
  are skipped.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.chars import (
    fold,
    folded_codes,
)
from data_pipeline.clean.edits import KIND, START, STOP, spans_of
from data_pipeline.compiled import array_kernel
from data_pipeline.documents import utf8_buffers
from data_pipeline.utf8 import decode
from foundation.errors import InputError, SettingError
from foundation.files import read_json
from foundation.text import one_line

SHOWN_CHARS = 80
ANY = ""  # the language, or domain, of entries for every document
_APOSTROPHES = "'’"
_OTHER, _WORD, _APOSTROPHE = range(3)
_BASIS, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a of 64 bits, RFC 9923
_MAX_LOAD = 2  # slots an entry, at least
_FREE = -1


class WordTable:
    """Words with what the user says of each, by language or domain.

    Args:
        entries: language or domain, ANY for every document -> word -> what is said of it.
        name: the setting, or the file, for messages.
    Raises:
        SettingError: an entry's word is no word, or what is said of it is no text.
    """

    def __init__(self, entries: dict[str, dict[str, str]], name: str) -> None:
        self.entries = entries
        for group, words in entries.items():
            for word, said in words.items():
                where = f"{name}: {group and f'{group}: '}{word!r}"
                if words_one(word) != [(0, len(word))]:
                    raise SettingError(f"{where}: not one word of letters, digits, _ and apostrophes; give one")
                if not isinstance(said, str) or not said:
                    raise SettingError(f"{where}: {said!r} is no text; give what to put in its place")
        keys = sorted({fold(word) for words in entries.values() for word in words})
        size = 1 << (_MAX_LOAD * len(keys)).bit_length()
        self._hashes, self._slots = np.zeros(size, np.uint64), np.full(size, _FREE, np.int64)
        for number, key in enumerate(keys):
            _insert(self._hashes, self._slots, np.uint64(_hash_one(key)), number)

    def __len__(self) -> int:
        return sum(map(len, self.entries.values()))

    def find(self, texts: pa.LargeStringArray) -> np.ndarray:
        """Return where texts hold what may be a word of the table, (n, 3) int64: START, STOP; `said` decides."""
        if not len(self):
            return np.zeros((0, 3), np.int64)
        return spans_of(_find, *utf8_buffers(texts), _classes(), folded_codes(), self._hashes, self._slots)

    def said(self, word: str, group: str | None) -> tuple[str, bool] | None:
        """Return what the table says of a word, and whether it says it of its very form; None: nothing.

        Args:
            group: the document's language or domain, before ANY.
        """
        for words in (self.entries.get(group) if group else None, self.entries.get(ANY)):
            if words:
                if word in words:
                    return words[word], True
                if (small := fold(word)) in words:
                    return words[small], False
        return None


def read_table(path: Path) -> dict[str, dict[str, str]]:
    """Read a table's file; the format is the module's.

    Raises:
        InputError: the file can't be read as one; names it and the line.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a table, relative to where the command is typed")
    if path.suffix == ".json":
        return table_of(read_json(path), str(path))
    entries: dict[str, dict[str, str]] = {}
    for number, (word, said, group) in _rows(path):
        if entries.setdefault(group, {}).setdefault(word, said) != said:
            above = entries[group][word]
            raise InputError(f"{path}, line {number}: {word!r} stands above with {above!r}; leave one out")
    return entries


def table_of(value: Any, name: str) -> dict[str, dict[str, str]]:
    """Return a mapping of words, or of languages or domains to such, with the group always named.

    Raises:
        SettingError: it is neither.
    """
    if not isinstance(value, dict):
        raise SettingError(f"{name}: {type(value).__name__} is not allowed; give a mapping of words")
    groups = {group: words for group, words in value.items() if isinstance(words, dict)}
    plain = {word: said for word, said in value.items() if not isinstance(said, dict)}
    if groups and plain:
        raise SettingError(f"{name}: {next(iter(plain))!r} is no mapping as {next(iter(groups))!r} is; give one kind")
    return groups or ({ANY: plain} if plain else {})


def words_one(text: str) -> list[tuple[int, int]]:
    """Return where the words of a text begin and end, in characters: the reference in plain Python."""
    classes = _classes()
    found: list[tuple[int, int]] = []
    start = -1
    for place, char in enumerate([*text, "\n"]):
        kind = classes[ord(char)]
        if kind == _APOSTROPHE and start >= 0 and place + 1 < len(text) and classes[ord(text[place + 1])] == _WORD:
            continue
        if kind == _WORD and start < 0:
            start = place
        elif kind != _WORD and start >= 0:
            found.append((start, place))
            start = -1
    return found


def _rows(path: Path) -> Iterator[tuple[int, tuple[str, str, str]]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error}); save it so") from error
    for number, line in enumerate(lines, start=1):
        fields = [field.strip() for field in line.removesuffix("\r").split("\t")]
        if fields == [""] or line.startswith("#"):
            continue
        if len(fields) not in (2, 3) or not fields[0] or not fields[1]:
            shown = one_line(line, SHOWN_CHARS)
            raise InputError(f"{path}, line {number}: {shown!r} is no `word<tab>what to write<tab>language`; mend it")
        yield number, (fields[0], fields[1], fields[2] if len(fields) == 3 else ANY)


def _hash_one(key: str) -> int:
    value = int(_BASIS)
    for char in key:
        value = (value ^ ord(char)) * int(_PRIME) % (1 << 64)
    return value


@functools.cache
def _classes() -> np.ndarray:
    """Return the class of every code point, (0x110000,) uint8; 0.2 s, once a process."""
    classes = bytearray(0x110000)
    for code in range(len(classes)):
        char = chr(code)
        classes[code] = _WORD if char.isalnum() or unicodedata.category(char)[0] == "M" else _OTHER
    classes[ord("_")] = _WORD
    for char in _APOSTROPHES:
        classes[ord(char)] = _APOSTROPHE
    return np.frombuffer(bytes(classes), dtype=np.uint8)


@array_kernel
def _insert(hashes: Any, slots: Any, value: Any, number: int) -> None:
    place = np.int64(value & np.uint64(len(slots) - 1))
    while slots[place] != _FREE:
        place = (place + 1) % len(slots)
    hashes[place], slots[place] = value, number


@array_kernel
def _find(data: Any, offsets: Any, classes: Any, small: Any, hashes: Any, slots: Any, spans: Any) -> int:
    """Fill `spans` (n, 3) int64 with the words whose hash is in the table; return how many there are."""
    found = 0
    for text in range(offsets.size - 1):
        place, stop = offsets[text], offsets[text + 1]
        while place < stop:
            char, size = decode(data, place)
            if classes[char] != _WORD:
                place += size
                continue
            start, value = place, _BASIS
            while place < stop:
                char, size = decode(data, place)
                if classes[char] != _WORD:
                    joins = classes[char] == _APOSTROPHE and place + size < stop
                    if not joins or classes[decode(data, place + size)[0]] != _WORD:
                        break
                value = (value ^ np.uint64(small[char])) * _PRIME
                place += size
            slot = np.int64(value & np.uint64(len(slots) - 1))
            while slots[slot] != _FREE and hashes[slot] != value:
                slot = (slot + 1) % len(slots)
            if slots[slot] != _FREE:
                if found < len(spans):
                    spans[found, START], spans[found, STOP], spans[found, KIND] = start, place, slots[slot]
                found += 1
    return found
