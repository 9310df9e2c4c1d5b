"""One way to write each text: line ends, control characters, composition."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.clean.bounds import (
    KEY_BYTES,
)
from data_pipeline.clean.rules import Applied, Rule, with_text
from data_pipeline.compiled import array_kernel
from data_pipeline.documents import utf8_buffers
from data_pipeline.utf8 import decode, eight_bytes
from foundation.errors import require

Form = Literal["NFC", "NFKC"]

# What Unicode's newline guidelines (The Unicode Standard, 5.8) count as the end of a line, "\n" itself aside.
LINE_ENDS = ("\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029")
CONTROLS = frozenset(map(chr, [*range(0x20), *range(0x7F, 0xA0)])) - {"\n", "\t"}  # category Cc

# Characters that NFC leaves as they are and that join with none before or after them: their NFC_Quick_Check is Yes,
# Canonical_Combining_Class 0 (Unicode Standard Annex 15, 9). First and last of a run
_COMPOSED_ALONE = (
    (0x80, 0x2FF),  # Latin
    (0x388, 0x482),  # Greek, Cyrillic
    (0x48A, 0x52F),
    (0x5D0, 0x5EA),  # Hebrew
    (0x621, 0x64A),  # Arabic
    (0x0E01, 0x0E37),  # Thai, but for what stands above and below
    (0x1E00, 0x1EFF),  # Latin of Vietnamese and others
    (0x2010, 0x205E),  # punctuation
    (0x2070, 0x209C),  # raised and lowered
    (0x20A0, 0x20BF),  # currencies
    (0x2100, 0x2125),  # letterlike symbols, but for ohm, kelvin and angstrom
    (0x2127, 0x2129),
    (0x212C, 0x2328),  # fractions, arrows, mathematics
    (0x232B, 0x2426),  # technical
    (0x2460, 0x2ADB),  # in circles, boxes, dingbats, more mathematics
    (0x2ADD, 0x2B73),
    (0x3001, 0x3029),  # punctuation of CJK
    (0x3041, 0x3096),  # kana
    (0x30A1, 0x30FF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),  # Hangul syllables
    (0xFB00, 0xFB06),  # ligatures
    (0xFE0E, 0xFE0F),  # emojis as text, as pictures
    (0xFF01, 0xFF5E),  # wide forms of ASCII
    (0xFFFC, 0xFFFD),  # what stands for what is not there
    (0x1F300, 0x1FAFF),  # emojis
)

_ONES = np.uint64(0x0101010101010101)
# What the bytes at a place are.
_PLAIN, _LINE_END, _CONTROL = 0, 1, 2


class Unicode(Rule):
    """Writes every line end as "\\n", drops the other control characters but tabs, and composes to NFC or NFKC.

    Line ends come first, as some are control characters; composition last, as a dropped character may have stood
    between a letter and its accent. So a second pass changes nothing. Counts as changed: `line_ends_rewritten`,
    `control_characters_dropped`, `documents_composed`. The forms are Arrow's: its Unicode version is locked with
    pyarrow, Python's is not.

    Args:
        form: `NFC` keeps every meaning; `NFKC` also writes look-alikes of compatibility as plain characters (`ﬁ` as
            `fi`, `Ａ` as `A`, a no-break space as a space), and so loses some: `10³` becomes `103` (Unicode Standard
            Annex 15).
    Raises:
        SettingError: a form that there is not.
    """

    def __init__(self, form: Form = "NFC") -> None:
        require(form in get_args(Form), "form", form, " or ".join(get_args(Form)))
        self._form = form

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts, line_ends, controls = rewrite(batch.column("text"))
        composed = compose(texts, self._form)
        num_composed = int(pc.sum(pc.not_equal(composed, texts)).as_py() or 0) if composed is not texts else 0
        changed = +Counter(
            line_ends_rewritten=line_ends, control_characters_dropped=controls, documents_composed=num_composed
        )
        return Applied(with_text(batch, composed) if changed else batch, changed=changed)


def rewrite(texts: pa.LargeStringArray) -> tuple[pa.LargeStringArray, int, int]:
    """Return the texts with "\\n" for line ends and without control characters, and how many of each there were.

    Texts that need nothing are returned as they are, without a copy.
    """
    data, offsets = utf8_buffers(texts)
    is_plain = np.zeros(len(texts), np.bool_)
    _find_plain(data, offsets, is_plain)
    line_ends, controls = _count(data, offsets, is_plain)
    if not line_ends and not controls:
        return texts, 0, 0
    out = np.empty(offsets[-1] - offsets[0], dtype=np.uint8)
    out_offsets = np.zeros(len(offsets), dtype=np.int64)
    _rewrite(data, offsets, out, out_offsets)
    buffers = pa.py_buffer(out_offsets), pa.py_buffer(out[: out_offsets[-1]])
    return pa.LargeStringArray.from_buffers(len(texts), *buffers), line_ends, controls


def rewrite_one(text: str) -> str:
    """Return one text as `rewrite` does: the reference in plain Python."""
    for line_end in LINE_ENDS:
        text = text.replace(line_end, "\n")
    return "".join(char for char in text if char not in CONTROLS)


def compose(texts: pa.LargeStringArray, form: Form = "NFC") -> pa.LargeStringArray:
    """Return the texts in this form; ASCII is so already, and of NFC most of what is written."""
    data, offsets = utf8_buffers(texts)
    may_change = np.zeros(len(texts), np.bool_)
    _find_composable(data, offsets, composed_alone() if form == "NFC" else np.zeros(0, np.bool_), may_change)
    if not may_change.any():
        return texts
    others = pa.array(may_change)
    return pc.replace_with_mask(texts, others, pc.utf8_normalize(texts.filter(others), form=form))


@functools.cache
def composed_alone() -> np.ndarray:
    """Return which characters NFC never changes, whatever stands beside them, (0x110000,) bool: those of the usual
    scripts; of others it is not asked."""
    alone = np.zeros(0x110000, np.bool_)
    for first, last in _COMPOSED_ALONE:
        alone[first : last + 1] = True
    return alone


@array_kernel
def _find_plain(data: Any, offsets: Any, is_plain: Any) -> None:
    """Fill `is_plain` with which texts have but ASCII's printed characters, newlines and tabs; many bytes at once."""
    for number in range(offsets.size - 1):
        text = data[offsets[number] : offsets[number + 1]]
        other = False
        for place in range(text.size):
            byte = text[place]
            other |= (byte >= 0x7F) | ((byte < 0x20) & (byte != 0x0A) & (byte != 0x09))
        is_plain[number] = not other


@array_kernel
def _find_composable(data: Any, offsets: Any, alone: Any, may_change: Any) -> None:
    """Fill `may_change` with which texts have a character beyond ASCII that is not in `alone`, which may be empty."""
    for number in range(offsets.size - 1):
        text = data[offsets[number] : offsets[number + 1]]
        bits = np.uint8(0)
        for place in range(text.size):
            bits |= text[place]
        if bits < 0x80:
            continue
        place = 0
        while place < text.size:
            if text[place] < 0x80:
                place += 1
                continue
            char, size = decode(text, place)
            if alone.size == 0 or not alone[char]:
                may_change[number] = True
                break
            place += size


@array_kernel
def _next_change(data: Any, place: int, stop: int) -> int:
    """Return the first place from `place` on where plain text ends; `stop` where it doesn't."""
    while place < stop:
        if place + KEY_BYTES <= stop and _is_printed(eight_bytes(data, place)):
            place += KEY_BYTES
            continue
        byte = data[place]
        if byte >= 0x20:
            if byte != 0x7F and byte != 0xC2 and byte != 0xE2:
                place += 1
                continue
        elif byte == 0x0A or byte == 0x09:
            place += 1
            continue
        if _kind(data, place, stop)[0] != _PLAIN:
            return place
        place += 1
    return stop


@array_kernel
def _is_printed(eight: Any) -> bool:
    """Return whether eight bytes are printed characters of ASCII. A byte below n borrows from its highest bit (Hacker's
    Delight, 6.1)."""
    controls = (eight - _ONES * np.uint64(0x20)) & ~eight
    deleted = eight ^ _ONES * np.uint64(0x7F)
    return not (controls | (deleted - _ONES) & ~deleted | eight) & _ONES * np.uint64(0x80)


@array_kernel
def _kind(data: Any, place: int, stop: int) -> tuple[int, int]:
    """Return what begins at `place`, a byte that may begin a change, and its size in bytes."""
    byte = data[place]
    if byte == 0x0D:
        return _LINE_END, 2 if place + 1 < stop and data[place + 1] == 0x0A else 1
    if byte == 0x0B or byte == 0x0C:
        return _LINE_END, 1
    if byte <= 0x7F:
        return _CONTROL, 1
    if byte == 0xC2 and data[place + 1] < 0xA0:  # U+0080 to U+009F
        return _LINE_END if data[place + 1] == 0x85 else _CONTROL, 2
    if byte == 0xE2 and data[place + 1] == 0x80 and (data[place + 2] == 0xA8 or data[place + 2] == 0xA9):
        return _LINE_END, 3
    return _PLAIN, 1


@array_kernel
def _count(data: Any, offsets: Any, is_plain: Any) -> tuple[int, int]:
    """Return how many line ends and control characters `_rewrite` changes."""
    line_ends, controls = 0, 0
    for text in range(offsets.size - 1):
        if is_plain[text]:
            continue
        stop = offsets[text + 1]
        place = _next_change(data, offsets[text], stop)
        while place < stop:
            kind, size = _kind(data, place, stop)
            line_ends += kind == _LINE_END
            controls += kind == _CONTROL
            place = _next_change(data, place + size, stop)
    return line_ends, controls


@array_kernel
def _rewrite(data: Any, offsets: Any, out: Any, out_offsets: Any) -> None:
    """Fill `out` (n,) uint8 and `out_offsets` (texts + 1,) int64 with the changed texts, which are never longer."""
    filled = 0
    for text in range(offsets.size - 1):
        filled = _rewrite_text(data, offsets[text], offsets[text + 1], out, filled)
        out_offsets[text + 1] = filled


@array_kernel
def _rewrite_text(data: Any, place: int, stop: int, out: Any, filled: int) -> int:
    """Fill `out` from `filled` on with the changed text data[place:stop]; return where it ends."""
    while place < stop:
        change = _next_change(data, place, stop)
        out[filled : filled + change - place] = data[place:change]
        filled += change - place
        place = change
        if change < stop:
            kind, size = _kind(data, change, stop)
            if kind == _LINE_END:
                out[filled] = 0x0A
                filled += 1
            place += size
    return filled
