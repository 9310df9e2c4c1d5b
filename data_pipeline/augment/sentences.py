"""Copies that lack some sentences."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.augment.augmentation import Change
from data_pipeline.augment.lots import unit, unit_one
from data_pipeline.clean.chars import NEWLINE, char_classes, stripped
from data_pipeline.clean.edits import KIND, START, STOP, Edits, edited, spans_of
from data_pipeline.clean.sentences import ends_of_sentences, mark_bytes, sentence_end, sentence_ends_one
from data_pipeline.compiled import kernel
from data_pipeline.documents import utf8_buffers
from foundation.errors import require


class DroppedSentences(Change):
    r"""Drops sentences, each by a lot of its own, and never all of a text: then the one of the largest lot stays.

    Sentences end where `clean.sentences` says, and at line ends. Of the white space around what is dropped the one with
    the most line ends stays, so that paragraphs stay paragraphs: of `A. B.\n\nC.` without B `A.\n\nC.` is left.

    Args:
        frac: share of the training documents that get copies.
        copies: of each of these.
        rate: share of the sentences that are dropped.
        seed: another seed chooses other documents and sentences.
    Raises:
        SettingError: a value that can't work.
    """

    name = "sentences"

    def __init__(self, frac: float = 0.1, copies: int = 1, rate: float = 0.1, seed: int = 0) -> None:
        super().__init__(frac, copies, seed)
        require(0 < rate < 1, "rate", rate, "a share between 0 and 1")
        self._rate = rate

    def change(self, batch: pa.RecordBatch, seeds: np.ndarray) -> pa.LargeStringArray:
        texts = batch.column("text")
        data, offsets = utf8_buffers(texts)
        tables = mark_bytes(), ends_of_sentences(), char_classes()
        sentences = spans_of(_find, data, offsets, *tables)
        goes = np.zeros(len(sentences), bool)
        _draw(sentences, seeds, self._rate, goes)
        spans = np.empty((2 * len(sentences), 2), np.int64)
        spans = spans[: _spans_between(data, sentences, goes, spans)]
        return edited(texts, Edits.removing(spans[:, START], spans[:, STOP]))

    def change_one(self, text: str, seed: int) -> str:
        """Return a copy's text: the reference that `change` equals."""
        sentences = _sentences_one(text)
        if not sentences:
            return text
        lots = [unit_one(seed, number) for number in range(len(sentences))]
        stays = [number for number, lot in enumerate(lots) if lot >= self._rate] or [lots.index(max(lots))]
        out = [text[: sentences[0][0]], text[slice(*sentences[stays[0]])]]
        for one, other in itertools.pairwise(stays):
            gaps = [text[sentences[number][1] : sentences[number + 1][0]] for number in range(one, other)]
            out += [max(gaps, key=lambda gap: gap.count("\n")), text[slice(*sentences[other])]]
        return "".join([*out, text[sentences[-1][1] :]])


def _sentences_one(text: str) -> list[tuple[int, int]]:
    """Return where the sentences of a text begin and end, in characters, without the white space around them."""
    found: list[tuple[int, int]] = []
    start = 0
    for line in text.split("\n"):
        begin = 0
        for end in [*sentence_ends_one(line), len(line)]:
            piece = line[begin:end]
            if piece.strip():
                found.append((start + begin + len(piece) - len(piece.lstrip()), start + begin + len(piece.rstrip())))
            begin = end
        start += len(line) + 1
    return found


@kernel
def _find(data: Any, offsets: Any, mark_bytes: Any, ends: Any, classes: Any, spans: Any) -> int:
    """Fill `spans` (n, 3) int64 with the sentences, KIND being the text of each; return how many there are."""
    found = 0
    for text in range(offsets.size - 1):
        line, stop = offsets[text], offsets[text + 1]
        while line < stop:
            line_end = line
            while line_end < stop and data[line_end] != NEWLINE:
                line_end += 1
            begin = line
            while begin < line_end:
                end = sentence_end(data, line, begin, line_end, mark_bytes, ends, classes)
                if end < 0:
                    end = line_end
                first, last = stripped(data, begin, end, classes)
                if first < last:
                    if found < len(spans):
                        spans[found, START], spans[found, STOP], spans[found, KIND] = first, last, text
                    found += 1
                begin = end
            line = line_end + 1
    return found


@kernel
def _draw(sentences: Any, seeds: Any, rate: float, goes: Any) -> None:
    """Fill `goes` (n,) bool: which sentences are dropped, never all of a text."""
    number = 0
    while number < len(sentences):
        text, first = sentences[number, KIND], number
        largest, keeper, kept = -1.0, first, 0
        while number < len(sentences) and sentences[number, KIND] == text:
            lot = unit(seeds[text], np.uint64(number - first))
            goes[number] = lot < rate
            kept += lot >= rate
            if lot > largest:
                largest, keeper = lot, number
            number += 1
        if not kept:
            goes[keeper] = False


@kernel
def _spans_between(data: Any, sentences: Any, goes: Any, spans: Any) -> int:
    """Fill `spans` (2 n, 2) int64 with what goes, white space with it, none of it empty; return how many there are."""
    filled, number = 0, 0
    while number < len(sentences):
        if not goes[number]:
            number += 1
            continue
        text, first = sentences[number, KIND], number
        while number < len(sentences) and goes[number] and sentences[number, KIND] == text:
            number += 1
        has_before = first > 0 and sentences[first - 1, KIND] == text
        has_after = number < len(sentences) and sentences[number, KIND] == text
        start = sentences[first - 1, STOP] if has_before else sentences[first, START]
        stop = sentences[number, START] if has_after else sentences[number - 1, STOP]
        kept_start, kept_stop = stop, stop
        if has_before and has_after:
            kept_start, kept_stop = _widest_gap(data, sentences, first, number)
        if start < kept_start:
            spans[filled, START], spans[filled, STOP] = start, kept_start
            filled += 1
        if kept_stop < stop:
            spans[filled, START], spans[filled, STOP] = kept_stop, stop
            filled += 1
    return filled


@kernel
def _widest_gap(data: Any, sentences: Any, first: int, last: int) -> tuple[int, int]:
    """Return the gap with the most line ends, the first of several, before the sentences first to last."""
    best, best_start, best_stop = -1, 0, 0
    for number in range(first, last + 1):
        start, stop = sentences[number - 1, STOP], sentences[number, START]
        line_ends = 0
        for place in range(start, stop):
            line_ends += data[place] == NEWLINE
        if line_ends > best:
            best, best_start, best_stop = line_ends, start, stop
    return best_start, best_stop
