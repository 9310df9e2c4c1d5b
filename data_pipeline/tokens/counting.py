"""Texts, and what becomes of them by one tokenizer: counted, and each held against the bytes of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.compiled import kernel
from data_pipeline.documents import utf8_buffers
from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokens.kinds import LINE_END, NUM_KINDS, char_table, kinds_one, mark_kinds
from data_pipeline.tokens.table import TokenTable
from data_pipeline.utf8 import decode

BYTES, CHARS, RUNS = range(3)  # columns of what `Profile.kinds` counts
TOKENS, SINGLES = range(2)  # and of `Counted.kinds`
# Signs that program text is dense with, and prose is not
CODE_SIGNS = frozenset("{}()[];=_")
# their share of all characters but white space from which a text counts as code. Measured: of the files of Python's
# library nine in ten have it, of PEPs, which show code, one in seven, of RFCs one in twelve, of WikiText-2's articles
# less than one in fifty
CODE_FRAC = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """What texts are, whichever tokenizer they are given to.

    Attributes:
        sizes, words: (n,) int64 UTF-8 bytes, and words as `str.split` counts them.
        is_code: (n,) bool: CODE_FRAC of their characters are CODE_SIGNS.
        kinds: (NUM_KINDS, 3) int64 bytes, characters and runs of each kind in all texts.
        byte_kinds: (bytes,) uint8, the kind of each byte, from the first text on.
    """

    sizes: np.ndarray
    words: np.ndarray
    is_code: np.ndarray
    kinds: np.ndarray
    byte_kinds: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What texts are in tokens. The end-of-text tokens are left out.

    Attributes:
        tokens, singles: (n,) int64, and those of them that are one byte alone.
        came_back: (n,) bool: the bytes of its tokens are the text's.
        ids: (vocab_size,) int64, how often each token came.
        kinds: (NUM_KINDS, 2) int64, tokens and single-byte tokens by the kind of their last byte, of texts that came
            back.
    """

    tokens: np.ndarray
    singles: np.ndarray
    came_back: np.ndarray
    ids: np.ndarray
    kinds: np.ndarray


def profile(texts: pa.LargeStringArray) -> Profile:
    """Return what texts are; texts: without nulls."""
    data, offsets = utf8_buffers(texts)
    data, offsets = data[offsets[0] : offsets[-1]], offsets - offsets[0]
    byte_kinds = np.zeros(len(data), np.uint8)
    mark_kinds(data, offsets, char_table(data), byte_kinds)
    kinds = np.zeros((NUM_KINDS, 3), np.int64)
    words, signs, chars = np.zeros((3, len(texts)), np.int64)
    _profile(data, offsets, byte_kinds, _code_signs(), kinds, words, signs, chars)
    is_code = signs >= CODE_FRAC * np.maximum(chars, 1)
    return Profile(np.diff(offsets), words, is_code, kinds, byte_kinds)


def profile_one(text: str) -> tuple[int, bool, list[list[int]]]:
    """Return words, is_code and kinds of one text: the reference that `profile` equals."""
    kinds = kinds_one(text)
    table = [[0, 0, 0] for _ in range(NUM_KINDS)]
    for place, (char, kind) in enumerate(zip(text, kinds, strict=True)):
        table[kind][BYTES] += len(char.encode())
        table[kind][CHARS] += 1
        table[kind][RUNS] += place == 0 or kinds[place - 1] != kind
    inked = [char for char in text if not char.isspace()]
    is_code = sum(char in CODE_SIGNS for char in inked) >= CODE_FRAC * max(len(inked), 1)
    return len(text.split()), is_code, table


def count(texts: pa.LargeStringArray, of_texts: Profile, encoder: Encoder, table: TokenTable) -> Counted:
    """Encode texts and count.

    Args:
        texts: without nulls; of_texts: their profile.
        table: of the encoder's tokenizer.
    Raises:
        TokenizerError: as of `Encoder.encode`.
    """
    ids, lengths = encoder.encode(texts)
    data, offsets = utf8_buffers(texts)
    data, offsets = data[offsets[0] : offsets[-1]], offsets - offsets[0]
    ends = np.cumsum(lengths, dtype=np.int64)
    bounds = np.stack([ends - lengths, ends - 1])  # without the end-of-text
    kinds = np.zeros((NUM_KINDS, 2), np.int64)
    singles, came_back = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
    _count(
        *(data, offsets, ids, bounds, table.data, table.offsets, table.has_prefix),
        *(of_texts.byte_kinds, kinds, singles, came_back),
    )
    found = np.bincount(ids, minlength=len(table)).astype(np.int64)
    found[encoder.eot_id] -= len(texts)
    return Counted(lengths.astype(np.int64) - 1, singles, came_back, found, kinds)


def count_one(text: str, ids: Sequence[int], table: TokenTable) -> tuple[int, bool, list[list[int]]]:
    """Return singles, came_back and kinds of one text: the reference that `count` equals; ids: without end-of-text."""
    pieces = [table.bytes_of(index) for index in ids]
    data, joined = text.encode(), b"".join(pieces)
    prefix = b" " if table.has_prefix and ids else b""
    counted = [[0, 0] for _ in range(NUM_KINDS)]
    singles = sum(len(piece) == 1 for piece in pieces)
    if joined != prefix + data:
        return singles, False, counted
    kinds = [kind for char, kind in zip(text, kinds_one(text), strict=True) for _ in char.encode()]
    end = -len(prefix)
    for piece in pieces:
        end += len(piece)
        if kinds:
            kind = kinds[max(end - 1, 0)]
            counted[kind][TOKENS] += 1
            counted[kind][SINGLES] += len(piece) == 1
    return singles, True, counted


def _code_signs() -> np.ndarray:
    signs = np.zeros(256, np.bool_)
    signs[[ord(sign) for sign in CODE_SIGNS]] = True
    return signs


@kernel
def _profile(
    data: Any, offsets: Any, byte_kinds: Any, is_sign: Any, kinds: Any, words: Any, signs: Any, chars: Any
) -> None:
    for text in range(offsets.size - 1):
        before, place, stop = np.int64(-1), offsets[text], offsets[text + 1]
        while place < stop:
            kind = np.int64(byte_kinds[place])
            size = decode(data, place)[1]
            kinds[kind, BYTES] += size
            kinds[kind, CHARS] += 1
            kinds[kind, RUNS] += kind != before
            if kind > LINE_END:
                words[text] += before <= LINE_END
                signs[text] += is_sign[data[place]]
                chars[text] += 1
            before = kind
            place += size


@kernel
def _count(
    data: Any, offsets: Any, ids: Any, bounds: Any, token_data: Any, token_offsets: Any, has_prefix: bool,
    byte_kinds: Any, kinds: Any, singles: Any, came_back: Any,
) -> None:  # fmt: skip
    for text in range(offsets.size - 1):
        first, last, start, stop = bounds[0, text], bounds[1, text], offsets[text], offsets[text + 1]
        place = start - int(has_prefix and last > first)
        is_same = True
        for number in range(first, last):
            begin, end = token_offsets[ids[number]], token_offsets[ids[number] + 1]
            singles[text] += end - begin == 1
            if place + end - begin > stop:
                is_same = False
            for at in range(begin, end if is_same else begin):
                byte = data[place + at - begin] if place + at - begin >= start else 0x20
                is_same &= byte == token_data[at]
            place += end - begin
        came_back[text] = is_same and place == stop
        if not came_back[text] or start == stop:
            continue
        place = start - int(has_prefix)
        for number in range(first, last):
            size = token_offsets[ids[number] + 1] - token_offsets[ids[number]]
            place += size
            kind = byte_kinds[max(place - 1, start)]
            kinds[kind, TOKENS] += 1
            kinds[kind, SINGLES] += size == 1
