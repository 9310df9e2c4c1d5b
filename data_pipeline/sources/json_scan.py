"""What a JSON parser doesn't say: duplicate keys, and numbers that a double can't hold. One pass over a block's bytes.

orjson keeps the last of two equal keys and rounds a 40-digit number, both without a word. So keys and wide numbers are
counted here, and a line where the counts show a loss is refused or read in a slower way that has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from data_pipeline.compiled import array_kernel

SAFE_DIGITS = 15  # every decimal of so many digits survives a double (DBL_DIG of IEEE 754)

# Columns of what `scan_lines` returns.
START, STOP, TOP_KEYS, NESTED_KEYS, WIDE_NUMBERS = range(5)

_NEWLINE, _QUOTE, _BACKSLASH, _COLON = 10, 34, 92, 58
_OPEN_LIST, _CLOSE_LIST, _OPEN_OBJECT, _CLOSE_OBJECT = 91, 93, 123, 125
_ZERO, _NINE, _PLUS, _MINUS, _POINT, _CAPITAL_E, _SMALL_E = 48, 57, 43, 45, 46, 69, 101


def scan_lines(data: bytes) -> np.ndarray:
    """Return what the lines of a block hold. The counts are right for lines that are valid JSON, harmless for others.

    Args:
        data: JSON lines; they end with the newline byte only, and the last one may lack it.
    Returns:
        (lines, 5) int64: where the line starts and stops in bytes, its newline excluded; the keys of its outermost
        object; the keys of objects deeper inside; its numbers that may not survive a double, which have more than
        SAFE_DIGITS digits or an exponent.
    """
    num_lines = data.count(b"\n") + (not data.endswith(b"\n")) if data else 0
    lines = np.zeros((num_lines, 5), dtype=np.int64)
    if num_lines:
        _scan(np.frombuffer(data, dtype=np.uint8), lines)
    return lines


def lossy_lines(data: bytes, lines: np.ndarray) -> set[int]:
    """Return which lines hold a number that comes back from orjson with other digits than it is written with.

    Args:
        data: as given to `scan_lines`.
        lines: as returned by it.
    """
    spans = np.zeros((int(lines[:, WIDE_NUMBERS].sum()), 3), dtype=np.int64)
    if not len(spans):
        return set()
    _find_wide(np.frombuffer(data, dtype=np.uint8), lines, spans)
    places = zip(*spans.T.tolist(), strict=True)
    return {line for line, start, stop in places if not _survives(data[start:stop])}


def _survives(number: bytes) -> bool:
    """Return whether a JSON number without its sign is what orjson writes after reading it; False for no number."""
    try:
        return int(number) < 1 << 63 if number.isdigit() else orjson.dumps(float(number)) == number
    except ValueError:
        return False


@array_kernel
def _find_wide(data: Any, lines: Any, spans: Any) -> None:
    """Fill `spans` (numbers, 3) int64 with line, start and stop of each wide number."""
    found = 0
    for line in range(lines.shape[0]):
        if lines[line, WIDE_NUMBERS]:
            found = _find_wide_in(data, line, lines[line, START], lines[line, STOP], spans, found)


@array_kernel
def _find_wide_in(data: Any, line: int, place: int, stop: int, spans: Any, found: int) -> int:
    """Fill `spans` from `found` on with those of one line; return where they end."""
    while place < stop:
        start = place
        if data[place] == _QUOTE:
            place = _string_end(data, place + 1)
        elif _ZERO <= data[place] <= _NINE:
            place, is_wide = _number_end(data, place)
            if is_wide:
                spans[found, 0], spans[found, 1], spans[found, 2] = line, start, place
                found += 1
        else:
            place += 1
    return found


@array_kernel
def _scan(data: Any, lines: Any) -> None:
    """Fill `lines` from `data`, both as in `scan_lines`."""
    line, depth, place = 0, 0, 0
    while place < data.size:
        byte = data[place]
        if byte == _QUOTE:
            place = _string_end(data, place + 1)
            continue
        if _ZERO <= byte <= _NINE:
            place, is_wide = _number_end(data, place)
            lines[line, WIDE_NUMBERS] += is_wide
            continue
        if byte == _COLON:
            lines[line, TOP_KEYS if depth == 1 else NESTED_KEYS] += 1
        elif byte in (_OPEN_LIST, _OPEN_OBJECT):
            depth += 1
        elif byte in (_CLOSE_LIST, _CLOSE_OBJECT):
            depth -= 1
        elif byte == _NEWLINE:
            lines[line, STOP] = place
            line += 1
            depth = 0
            if line < lines.shape[0]:
                lines[line, START] = place + 1
        place += 1
    if line < lines.shape[0]:
        lines[line, STOP] = data.size


@array_kernel
def _string_end(data: Any, place: int) -> int:
    """Return the place after the quote that closes a string, or of the newline that cuts it."""
    while place < data.size:
        byte = data[place]
        if byte == _QUOTE:
            return place + 1
        if byte == _NEWLINE:
            return place
        if byte == _BACKSLASH and place + 1 < data.size and data[place + 1] != _NEWLINE:
            place += 1
        place += 1
    return place


@array_kernel
def _number_end(data: Any, place: int) -> tuple[int, bool]:
    """Return the place after a number that begins at `place`, and whether it may not survive a double."""
    digits, has_exponent = 0, False
    while place < data.size:
        byte = data[place]
        if _ZERO <= byte <= _NINE:
            digits += 1
        elif byte in (_SMALL_E, _CAPITAL_E):
            has_exponent = True
        elif byte not in (_POINT, _PLUS, _MINUS):
            break
        place += 1
    return place, has_exponent or digits > SAFE_DIGITS
