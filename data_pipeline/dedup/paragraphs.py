"""Paragraphs or lines that many documents share: menus, notices, quoted texts. Cut out of the documents, which stay."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from data_pipeline.compiled import array_kernel
from data_pipeline.dedup.shingles import text_hashes
from data_pipeline.dedup.words import join_words_of_blocks
from data_pipeline.documents import utf8_buffers
from foundation.errors import require

Unit = Literal["paragraph", "line"]
Keep = Literal["first", "none"]
NEWLINE, TAB, RETURN, BLANK = (np.uint8(ord(char)) for char in "\n\t\r ")


@dataclass(frozen=True, slots=True)
class Units:
    """The units of n documents, end to end: those of document i are the rows where documents == i.

    Attributes:
        documents: (u,) int64, ascending.
        starts, stops: (u,) int64, UTF-8 bytes in the document's text. What ends a unit belongs to it, so that a text
            is the sum of its units.
        hashes: (u,) uint64 of its words, whatever their case and white space; 0 for a unit that is never sought.
    """

    documents: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    hashes: np.ndarray


class Paragraphs(ABC):
    """Which paragraphs go. `units` runs in workers; how many documents hold each is counted over the whole corpus.

    Attributes:
        seeks: whether anything is sought; else no text is read.
        unit: what is sought.
        keep: whether one copy stays: the first in the corpus, or none.
        max_documents: documents that may hold a unit.
        min_left_bytes: a document of which less is left goes as a whole, unless it keeps a copy for all others.
        memory_bytes: of what is counted at a time.
        judge_alone: arguments that what goes alone depends on: another value of these counts no paragraph again.
        limits: arguments that say how much memory it takes: no result depends on them.
    """

    seeks = True
    unit: Unit = "paragraph"
    keep: Keep = "first"
    max_documents: int = 1
    min_left_bytes: int = 1
    memory_bytes: int = 1 << 30
    judge_alone: frozenset[str] = frozenset()
    limits: frozenset[str] = frozenset()

    @abstractmethod
    def units(self, texts: pa.LargeStringArray) -> Units:
        """Return the units of these documents. Pure: the same texts give the same arrays in any process."""


class NoParagraphs(Paragraphs):
    """Every paragraph stays."""

    seeks = False

    def units(self, texts: pa.LargeStringArray) -> Units:
        none = np.zeros(0, np.int64)
        return Units(none, none, none, np.zeros(0, np.uint64))


class RepeatedParagraphs(Paragraphs):
    """Cuts paragraphs, or lines, that more than `max_documents` documents hold.

    Two are the same when their words are, whatever their case and white space. Repetitions inside of one document count
    once: they are what Gopher's rules on repetition look at. With keep=first the document that keeps the copy of a unit
    stays, however little it holds: else the unit would be gone from the corpus.

    "\\n" ends a line, and so does "\\r\\n", but no other end that Unicode knows ("\\r" alone, U+0085, U+2028, U+2029):
    clean's rule `unicode` rewrites them, `clean=none` does not. A line is blank when all of it is white space to
    Unicode, a no-break space (U+00A0) or an ideographic one (U+3000) too.

    What is the same is told by 64 bits of hash: among n distinct units any two are taken for one with probability
    n^2 / 2^65, 3 % at 10^9, and then one paragraph too many is cut.

    Args:
        unit: `paragraph`, up to and with the blank lines behind it; or `line`.
        max_documents: documents that may hold it; above, it is cut out of all but those that `keep` spares.
        min_words: shorter ones are never sought: "}" or "Yes." is in every document.
        keep: `first`: the first document that holds it keeps it; `none`: boilerplate, no document does.
        min_left_bytes: a document of whose text less is left goes as a whole, UTF-8 bytes; but one that keeps the copy
            of a unit never does.
        memory_bytes: of what is counted at a time. Less reads the counts of the partitions more often, and changes no
            result. Beside it are 24 bytes a repeated unit, on disk and mapped once they are counted.
    Raises:
        SettingError: a value that can't work.
    Source: paragraph deduplication of dolma (allenai) and CCNet, line deduplication of RefinedWeb; by exact counts
    where they use a Bloom filter, whose order decides what is a copy.
    """

    judge_alone = frozenset({"max_documents", "keep", "min_left_bytes"})
    limits = frozenset({"memory_bytes"})

    def __init__(
        self,
        unit: Unit = "paragraph",
        max_documents: int = 1,
        min_words: int = 10,
        keep: Keep = "first",
        min_left_bytes: int = 1,
        memory_bytes: int = 1 << 30,
    ) -> None:
        require(max_documents >= 1, "max_documents", max_documents, "1 or more documents")
        require(min_words >= 1, "min_words", min_words, "1 or more words")
        require(min_left_bytes >= 1, "min_left_bytes", min_left_bytes, "1 or more bytes")
        self.unit, self.max_documents, self.min_words = unit, max_documents, min_words
        allowed = f"{1 << 20} (1 MiB) or more; {1 << 30} (1 GiB) is usual"
        require(memory_bytes >= 1 << 20, "memory_bytes", memory_bytes, allowed)
        self.keep, self.min_left_bytes, self.memory_bytes = keep, min_left_bytes, memory_bytes

    def units(self, texts: pa.LargeStringArray) -> Units:
        data, offsets = utf8_buffers(texts)
        documents, starts, stops = _cut(data, offsets, 1 if self.unit == "line" else 2)
        if not len(starts):
            return Units(documents, starts, stops, np.zeros(0, np.uint64))
        _, _, buffer = texts.buffers()
        ends = pa.py_buffer(np.append(starts, stops[-1]))  # units lie end to end in the texts' own bytes
        blocks = join_words_of_blocks(pa.LargeStringArray.from_buffers(len(starts), ends, buffer))
        found = [text_hashes(*block) for block in blocks]
        hashes, counts = (np.concatenate(column) for column in zip(*found, strict=True))
        hashes[counts < self.min_words] = 0
        return Units(documents, starts - offsets[documents], stops - offsets[documents], hashes)


@array_kernel
def _cut(data: np.ndarray, offsets: np.ndarray, newlines: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut texts behind runs of newlines; lines of white space belong to the run, where more than one is asked for.

    Args:
        data: (b,) uint8, UTF-8.
        offsets: (documents + 1,) int64 into it.
        newlines: that end a unit.
    Returns:
        documents, starts, stops: (units,) int64; starts and stops in `data`.
    """
    units, count = np.empty((len(offsets) + 1024, 3), np.int64), 0
    for document in range(len(offsets) - 1):
        start = place = offsets[document]
        while place < offsets[document + 1]:
            place = _next_end(data, place, offsets[document + 1], newlines)
            if count == len(units):
                units = np.concatenate((units, np.empty_like(units)))
            units[count, 0], units[count, 1], units[count, 2] = document, start, place
            start, count = place, count + 1
    return units[:count, 0].copy(), units[:count, 1].copy(), units[:count, 2].copy()


@array_kernel
def _next_end(data: np.ndarray, place: int, stop: int, newlines: int) -> int:
    """Return the place behind the next run of `newlines` or more, else `stop`."""
    seen, end = 0, 0  # newlines of the run, and the place behind the last of them
    while place < stop:
        if data[place] == NEWLINE:
            place += 1
            seen, end = seen + 1, place
            continue
        blank = _blank_bytes(data, place) if seen and newlines > 1 else 0
        if not blank and seen >= newlines:
            return end
        seen = seen if blank else 0
        place += max(blank, 1)
    return end if seen >= newlines else stop


@array_kernel
def _blank_bytes(data: np.ndarray, place: int) -> int:
    """Return the bytes of the character at a place of valid UTF-8 when it is white space, as `str.isspace` says, or 0.

    These are tab to return, U+001C to U+0020, U+0085, U+00A0, U+1680, U+2000 to U+200A, U+2028, U+2029, U+202F,
    U+205F, U+3000.
    """
    byte = data[place]
    if byte < 0x80:
        return int(TAB <= byte <= RETURN or 0x1C <= byte <= BLANK)
    if byte == 0xC2:
        return 2 * int(data[place + 1] == 0x85 or data[place + 1] == 0xA0)
    if not 0xE1 <= byte <= 0xE3:
        return 0
    second, third = data[place + 1], data[place + 2]
    if byte == 0xE2 and second == 0x80:
        return 3 * int(third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF)
    if byte == 0xE2:
        return 3 * int(second == 0x81 and third == 0x9F)
    return 3 * int(third == 0x80 and second == (0x9A if byte == 0xE1 else 0x80))


@dataclass(frozen=True, slots=True)
class Counted:
    """In how many documents units stand.

    Attributes:
        hashes: (u,) uint64, sorted, each once.
        num_documents: (u,) int64 that hold each.
        firsts: (u,) int64, the first of them.
    """

    hashes: np.ndarray
    num_documents: np.ndarray
    firsts: np.ndarray

    def rows(self, chosen: slice | np.ndarray) -> Counted:
        """Return some of the counts."""
        return Counted(self.hashes[chosen], self.num_documents[chosen], self.firsts[chosen])


def count_documents(units: Units) -> Counted:
    """Return the counts of these documents; units that are never sought are left out."""
    sought = np.flatnonzero(units.hashes)
    sought = sought[np.argsort(units.hashes[sought], kind="stable")]  # of one hash by document
    hashes, documents = units.hashes[sought], units.documents[sought]
    is_again = (hashes[1:] == hashes[:-1]) & (documents[1:] == documents[:-1])
    once = np.flatnonzero(np.append(True, ~is_again)) if len(hashes) else np.zeros(0, np.int64)
    return _added_up(Counted(hashes[once], np.ones(len(once), np.int64), documents[once]))


def add_counts(parts: Sequence[Counted]) -> Counted:
    """Return the counts of all parts, whose documents come one part after the other."""
    hashes = np.concatenate([np.zeros(0, np.uint64), *(part.hashes for part in parts)])
    num_documents = np.concatenate([np.zeros(0, np.int64), *(part.num_documents for part in parts)])
    firsts = np.concatenate([np.zeros(0, np.int64), *(part.firsts for part in parts)])
    return _added_up(Counted(hashes, num_documents, firsts).rows(np.argsort(hashes, kind="stable")))


def _added_up(counted: Counted) -> Counted:
    """Return sorted counts with equal hashes as one."""
    if not len(counted.hashes):
        return counted
    starts = np.flatnonzero(np.append(True, counted.hashes[1:] != counted.hashes[:-1]))
    totals = np.add.reduceat(counted.num_documents, starts)
    return Counted(counted.hashes[starts], totals, counted.firsts[starts])


def spans_to_cut(
    units: Units, repeated: np.ndarray, keepers: np.ndarray | None, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return which units go, and which are the one copy that stays, (u,) bool each.

    Args:
        repeated: (r,) uint64 sorted hashes of the units that too many documents hold.
        keepers: (r,) int64: index of the document that keeps its first copy of each; None: no document does.
        indices: (n,) int64 of the documents, which `units` counts from 0.
    """
    stays = np.zeros(len(units.hashes), bool)
    if not len(repeated):
        return stays.copy(), stays
    places = np.searchsorted(repeated, units.hashes).clip(max=len(repeated) - 1)
    goes: np.ndarray = (repeated[places] == units.hashes) & (units.hashes != 0)
    if keepers is not None:
        own = np.flatnonzero(goes)
        own = own[keepers[places[own]] == indices[units.documents[own]]]
        stays[own[np.unique(units.hashes[own], return_index=True)[1]]] = True
    return goes & ~stays, stays
