"""Bytes of HTML as the kernels meet them: white space, the ends of names, letters."""

from __future__ import annotations

from typing import Any

from data_pipeline.compiled import array_kernel

_SPACE, _LF, _TAB, _CR, _FF, _GT, _SLASH = 0x20, 0x0A, 0x09, 0x0D, 0x0C, 0x3E, 0x2F


@array_kernel
def next_byte(data: Any, place: int, stop: int, byte: int) -> int:
    """Return the first place from `place` on of a byte; `stop` where there is none."""
    while place < stop and data[place] != byte:
        place += 1
    return place


@array_kernel
def past_spaces(data: Any, place: int, stop: int) -> int:
    while place < stop and is_space(data[place]):
        place += 1
    return place


@array_kernel
def is_space(byte: int) -> bool:
    return byte in (_SPACE, _LF, _TAB, _CR, _FF)


@array_kernel
def ends_name(byte: int) -> bool:
    return byte in (_GT, _SLASH) or is_space(byte)


@array_kernel
def lower(byte: int) -> int:
    return byte + 0x20 if 0x41 <= byte <= 0x5A else byte


@array_kernel
def is_letter(byte: int) -> bool:
    return 0x61 <= byte <= 0x7A or 0x41 <= byte <= 0x5A
