from __future__ import annotations

import csv
import io
from typing import Literal

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from data_pipeline.sources.csv_scan import (
    FIELD,
    FIELD_START,
    FIELD_STOP,
    FIRST_FIELD,
    HAS_QUOTES,
    IS_BROKEN,
    LINES,
    NUM_FIELDS,
    QUOTED,
    START,
    STOP,
    records_plainly,
    scan_records,
    walk,
)

letters = st.text(alphabet='a",\n\r;', max_size=40).map(str.encode)


def by_kernel(data: bytes, delimiter: bytes = b",") -> list[list[bytes] | None]:
    scanned = scan_records(data, delimiter)
    found: list[list[bytes] | None] = []
    for record in scanned.records.tolist():
        places = scanned.fields[record[FIRST_FIELD] : record[FIRST_FIELD] + record[NUM_FIELDS]].tolist()
        fields = [data[place[FIELD_START] : place[FIELD_STOP]] for place in places]
        doubled = [place[HAS_QUOTES] for place in places]
        fields = [each.replace(b'""', b'"') if twice else each for each, twice in zip(fields, doubled, strict=True)]
        found.append(None if record[IS_BROKEN] else fields)
    return found


@example(b'"a""b",c\r\n"\n"')
@example(b'"a"b,"c\nd')
@example(b'"a"\r')
@given(letters)
def test_the_kernel_finds_what_plain_python_does(data: bytes) -> None:
    assume(walk(data, 0, len(data), FIELD, 1 << 60, b",").state != QUOTED)
    assert by_kernel(data) == records_plainly(data, b",")
    records = scan_records(data, b",").records
    assert sum(records[:, LINES]) == data.count(b"\n") + (data != b"" and not data.endswith(b"\n"))
    assert all(record[START] <= record[STOP] for record in records.tolist())


values = st.lists(st.text(alphabet='ab",\n\ré;', max_size=8), min_size=2, max_size=4)


@given(st.lists(values, max_size=6), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_the_standard_library_writes_is_read_as_it_was(rows: list[list[str]], quoting: Literal[0, 1]) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # it quotes no carriage return, which before a newline is a line end
        rows = [[value.replace("\r", "") for value in row] for row in rows]
    for line_end in ("\n", "\r\n"):
        for delimiter in (",", ";"):
            sink = io.StringIO(newline="")
            csv.writer(sink, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerows(rows)
            found = by_kernel(sink.getvalue().encode(), delimiter.encode())
            assert found == [[value.encode() for value in row] for row in rows]


@given(letters.filter(lambda data: b"\r" not in data))
def test_what_no_record_breaks_is_what_the_standard_library_reads(data: bytes) -> None:
    plain = records_plainly(data, b",")
    assume(None not in plain and walk(data, 0, len(data), FIELD, 1 << 60, b",").state != QUOTED)
    expected = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert [[b""] if not row else [value.encode() for value in row] for row in expected] == by_kernel(data)


@given(letters, st.integers(0, 40), st.integers(1, 4))
def test_walking_in_steps_is_walking_in_one_go(data: bytes, cut: int, most: int) -> None:
    whole = walk(data, 0, len(data), FIELD, 1 << 60, b",")
    assert whole.all_lines == data.count(b"\n")
    if whole.state != QUOTED:
        assert whole.records == len(scan_records(data, b",").records) - (whole.end < len(data))
    first = walk(data, 0, cut, FIELD, 1 << 60, b",")
    second = walk(data, min(cut, len(data)), len(data), first.state, 1 << 60, b",")
    assert (first.records + second.records, second.state) == (whole.records, whole.state)
    some = walk(data, 0, len(data), FIELD, most, b",")
    assert some.records == min(most, whole.records) and some.lines == data.count(b"\n", 0, some.end)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'"a""b",c\n', [[b'a"b', b"c"]]),
        (b'5" disk,c"d\n', [[b'5" disk', b'c"d']]),
        (b'"a\nb"\r\n\r\nc', [[b"a\nb"], [b""], [b"c"]]),
        (b'"a"x,"b\nc,d\n', [None, [b"c", b"d"]]),  # the stray quote takes nothing beyond its line
        (b'""', [[b""]]),
        (b"a,\n,", [[b"a", b""], [b"", b""]]),
    ],
)
def test_quotes_are_read_as_said(data: bytes, expected: list[list[bytes] | None]) -> None:
    assert by_kernel(data) == records_plainly(data, b",") == expected
