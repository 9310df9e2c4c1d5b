"""Paragraphs or lines that many documents share: menus, notices, quoted texts. Cut out of the documents, which stay."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import xxhash

from data_pipeline.dedup.words import join_words
from data_pipeline.documents import utf8_buffers
from foundation.errors import require

Unit = Literal["paragraph", "line"]
Keep = Literal["first", "none"]
# What ends a unit belongs to it, so that a text is the sum of its units; a line of blanks alone is empty
ENDS = {"paragraph": re.compile(rb"\n(?:[^\S\n]*\n)+"), "line": re.compile(rb"\n+")}


@dataclass(frozen=True, slots=True)
class Units:
    """The units of n documents, end to end: those of document i are the rows where documents == i.

    Attributes:
        documents: (u,) int64, ascending.
        starts, stops: (u,) int64, UTF-8 bytes in the document's text; what ends a unit belongs to it.
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
        keep: whether one copy stays: the first in the corpus, or none.
        max_documents: documents that may hold a unit.
        min_left_bytes: a document of which less is left goes as a whole.
    """

    seeks = True
    keep: Keep = "first"
    max_documents: int = 1
    min_left_bytes: int = 1

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
    once: they are what Gopher's rules on repetition look at.

    Args:
        unit: `paragraph`, up to a blank line; or `line`.
        max_documents: documents that may hold it; above, it is cut out of all but those that `keep` spares.
        min_words: shorter ones are never sought: "}" or "Yes." is in every document.
        keep: `first`: the first document that holds it keeps it; `none`: boilerplate, no document does.
        min_left_bytes: a document of whose text less is left goes as a whole, UTF-8 bytes.
    Raises:
        SettingError: a value that can't work.
    Source: paragraph deduplication of dolma (allenai) and CCNet, line deduplication of RefinedWeb; by exact counts
    where they use a Bloom filter, whose order decides what is a copy.
    """

    def __init__(
        self,
        unit: Unit = "paragraph",
        max_documents: int = 1,
        min_words: int = 10,
        keep: Keep = "first",
        min_left_bytes: int = 1,
    ) -> None:
        require(max_documents >= 1, "max_documents", max_documents, "1 or more documents")
        require(min_words >= 1, "min_words", min_words, "1 or more words")
        require(min_left_bytes >= 1, "min_left_bytes", min_left_bytes, "1 or more bytes")
        self.unit, self.max_documents, self.min_words = unit, max_documents, min_words
        self.keep, self.min_left_bytes = keep, min_left_bytes

    def units(self, texts: pa.LargeStringArray) -> Units:
        data, offsets = utf8_buffers(texts)
        view, end = data.data, ENDS[self.unit]
        starts: list[int] = []
        counts = []
        for begin, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            before = len(starts)
            starts.append(begin)
            starts += [found.end() for found in end.finditer(view[:stop], begin)]
            if starts[-1] == stop:  # nothing follows the last end
                starts.pop()
            counts.append(len(starts) - before)
        documents = np.repeat(np.arange(len(texts)), counts)
        places = np.array(starts, np.int64)
        stops = np.append(places[1:], 0)
        last = np.append(documents[1:] != documents[:-1], True) if len(places) else np.zeros(0, bool)
        stops = np.where(last, offsets[documents + 1], stops[: len(places)])
        hashes = self._hashes(texts, places, stops)
        return Units(documents, places - offsets[documents], stops - offsets[documents], hashes)

    def _hashes(self, texts: pa.LargeStringArray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
        """Return the hash of each unit; they lie end to end in the texts' own bytes."""
        _, _, data = texts.buffers()
        if not len(starts):
            return np.zeros(0, np.uint64)
        offsets = pa.py_buffer(np.append(starts, stops[-1]))
        units = pa.LargeStringArray.from_buffers(len(starts), offsets, data)
        hashes = [
            xxhash.xxh3_64_intdigest(words.data) if _num_words(words) >= self.min_words else 0
            for words in join_words(units)
        ]
        return np.array(hashes, np.uint64)


def _num_words(words: np.ndarray) -> int:
    return words.tobytes().count(b" ") + 1 if len(words) else 0


def spans_to_cut(units: Units, repeated: np.ndarray, spared: np.ndarray) -> np.ndarray:
    """Return which units go, (u,) bool.

    Args:
        repeated: (r,) uint64 sorted hashes of the units that too many documents hold.
        spared: (r,) int64: the document, as `units` counts, that keeps its first copy of each; -1: none here.
    """
    if not len(repeated):
        return np.zeros(len(units.hashes), bool)
    places = np.searchsorted(repeated, units.hashes).clip(max=len(repeated) - 1)
    goes = (repeated[places] == units.hashes) & (units.hashes != 0)
    is_spared = goes & (spared[places] == units.documents)
    firsts = np.unique(np.where(is_spared, units.hashes, 0), return_index=True)[1]
    goes[firsts[is_spared[firsts]]] = False
    chosen: np.ndarray = goes
    return chosen
