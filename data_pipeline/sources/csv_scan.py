"""Where the records and fields of CSV lie: one reading of the quotes, for whoever cuts a file or parses a piece of it.

A record ends with a newline, perhaps with a carriage return before it, that stands in no quoted field. A field is
quoted when it begins with a quote; in it a quote is written twice. A quote elsewhere is a character like others. What
follows a closing quote must be a delimiter or the end of the record: the record is broken otherwise, and from there to
the next newline no quote means anything, so that one stray quote can't take the rest of a file for a field.

Source: RFC 4180, section 2; a quote inside a field that has none around it, which it forbids, is what many files have.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from data_pipeline.compiled import array_kernel, inlined_kernel

# Where a reader is: at a field's beginning, in a plain or a quoted one, after a quote that may close it, after such a
# quote and a carriage return, in a broken record.
FIELD, PLAIN, QUOTED, CLOSED, CLOSED_CR, BROKEN = range(6)
_NOTHING, _FIELD_ENDS, _RECORD_ENDS = range(3)
_NEWLINE, _RETURN, _QUOTE = 10, 13, 34

# Columns of `Scanned.records` and `.fields`
START, STOP, FIRST_FIELD, NUM_FIELDS, IS_BROKEN, LINES = range(6)
FIELD_START, FIELD_STOP, HAS_QUOTES = range(3)


class Walked(NamedTuple):
    """What `walk` passed.

    Attributes:
        state: where the reader is at the end.
        records: that ended.
        end: the place after the last of these; where it began where there is none.
        lines: newlines before `end`.
        all_lines: newlines that were passed.
    """

    state: int
    records: int
    end: int
    lines: int
    all_lines: int


class Scanned(NamedTuple):
    """The records of a piece of CSV.

    Attributes:
        records: (records, 6) int64: where each starts and stops in bytes, its line end excluded; its first field; how
            many fields it has, of a broken one nothing is said; whether it is broken; its newlines, the last one too.
        fields: (fields, 3) int64: where each starts and stops, its quotes excluded; whether quotes in it stand twice.
    """

    records: np.ndarray
    fields: np.ndarray


def walk(data: bytes, place: int, stop: int, state: int, most_records: int, delimiter: bytes) -> Walked:
    """Read from `place` on, to `stop` or until `most_records` have ended.

    Args:
        state: of the reader at `place`; FIELD at the beginning of a record.
        delimiter: one byte.
    """
    array = np.frombuffer(data, dtype=np.uint8)
    return Walked(*_walk(array, place, min(stop, len(data)), state, most_records, delimiter[0]))


def scan_records(data: bytes | memoryview, delimiter: bytes) -> Scanned:
    """Return the records of a piece that begins with one; the last may lack its line end."""
    array = np.frombuffer(data, dtype=np.uint8) if len(data) else np.zeros(0, dtype=np.uint8)
    none = np.zeros((0, 6), dtype=np.int64)
    num_records, num_fields = _scan(array, delimiter[0], none, none, False)
    records, fields = np.zeros((num_records, 6), dtype=np.int64), np.zeros((num_fields, 3), dtype=np.int64)
    _scan(array, delimiter[0], records, fields, True)
    return Scanned(records, fields)


def records_plainly(data: bytes, delimiter: bytes) -> list[list[bytes] | None]:
    """Return what `scan_records` finds, byte by byte in plain Python: fields by record, None for a broken one.

    The kernels are held against it.
    """
    found: list[list[bytes] | None] = []
    fields: list[bytes] = []
    field = b""
    state, step = FIELD, _step.py_func  # type: ignore[attr-defined]
    for byte in [*data, *([_NEWLINE] if data and not data.endswith(b"\n") else [])]:
        state, event = step(state, byte, delimiter[0], state == BROKEN)
        if event == _NOTHING:
            field += bytes([byte])
            continue
        fields.append(_unquoted(field, event))
        field = b""
        if event == _RECORD_ENDS:
            found.append(None if state == BROKEN else fields)
            fields, state = [], FIELD
    return found


def _unquoted(field: bytes, event: int) -> bytes:
    if event == _RECORD_ENDS:
        field = field.removesuffix(b"\r")
    return field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field


@inlined_kernel
def _step(state: int, byte: int, delimiter: int, is_broken: bool) -> tuple[int, int]:
    """Return the state after a byte, and what ends with it; the state at a record's end says whether it is broken."""
    if state == QUOTED:
        return (CLOSED if byte == _QUOTE else QUOTED), _NOTHING
    if byte == _NEWLINE:
        return (BROKEN if is_broken else FIELD), _RECORD_ENDS
    if state == BROKEN:
        return BROKEN, _NOTHING
    if byte == delimiter and state != CLOSED_CR:
        return FIELD, _FIELD_ENDS
    if state == FIELD:
        return (QUOTED if byte == _QUOTE else PLAIN), _NOTHING
    if state == PLAIN:
        return PLAIN, _NOTHING
    if state == CLOSED and byte == _QUOTE:
        return QUOTED, _NOTHING
    return (CLOSED_CR if state == CLOSED and byte == _RETURN else BROKEN), _NOTHING


@array_kernel
def _walk(
    data: Any, place: int, stop: int, state: int, most_records: int, delimiter: int
) -> tuple[int, int, int, int, int]:
    end, records, lines, all_lines = place, 0, 0, 0
    while place < stop and records < most_records:
        byte = data[place]
        all_lines += byte == _NEWLINE
        state, event = _step(state, byte, delimiter, state == BROKEN)
        place += 1
        if event == _RECORD_ENDS:
            state = FIELD
            records += 1
            end, lines = place, all_lines
    return state, records, end, lines, all_lines


@array_kernel
def _scan(data: Any, delimiter: int, records: Any, fields: Any, fill: bool) -> tuple[int, int]:
    """Count records and fields, or fill the arrays of `Scanned` with them."""
    record, field, lines = 0, 0, 0
    first, start, field_start, escaped = 0, 0, 0, False
    state = FIELD
    for place in range(data.size + (data.size > 0 and data[data.size - 1] != _NEWLINE)):
        byte = data[place] if place < data.size else _NEWLINE
        at_end = place == data.size  # a quote that is open there stays open, and the record ends all the same
        before = state
        state, event = _step(PLAIN if at_end and state == QUOTED else state, byte, delimiter, state == BROKEN)
        lines += byte == _NEWLINE
        escaped |= before == CLOSED and state == QUOTED
        if event == _NOTHING:
            continue
        if fill:
            stop = place
            if event == _RECORD_ENDS and stop > field_start and data[stop - 1] == _RETURN:
                stop -= 1
            quoted = before in (CLOSED, CLOSED_CR)
            fields[field, FIELD_START] = field_start + quoted
            fields[field, FIELD_STOP] = stop - quoted
            fields[field, HAS_QUOTES] = escaped
        field += 1
        field_start, escaped = place + 1, False
        if event == _RECORD_ENDS:
            if fill:
                records[record, START], records[record, STOP] = start, stop
                records[record, FIRST_FIELD], records[record, NUM_FIELDS] = first, field - first
                records[record, IS_BROKEN], records[record, LINES] = state == BROKEN, lines
            record += 1
            first, start, lines, state = field, place + 1, 0, FIELD
    return record, field
