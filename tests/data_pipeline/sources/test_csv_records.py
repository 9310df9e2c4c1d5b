from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data_pipeline.sources.csv_records import CsvCutter, Run
from data_pipeline.sources.csv_scan import FIELD, QUOTED, START, STOP, scan_records, walk
from data_pipeline.sources.decompress import Piece
from data_pipeline.sources.source import InputFile, TruncatedInput

FILE = InputFile("x.csv", Path("x.csv"), 0)
letters = st.text(alphabet='a",\n\r', max_size=60).map(str.encode)


def cutter(data: bytes, size: int) -> CsvCutter:
    def pieces() -> Iterator[Piece]:
        for start in range(0, len(data), size):
            yield Piece(data[start : start + size], start + size)

    return CsvCutter(FILE, pieces(), b",")


@given(letters, st.integers(1, 40), st.integers(1, 9))
def test_runs_hold_all_records_whatever_their_size(data: bytes, partition_bytes: int, piece_bytes: int) -> None:
    assume(walk(data, 0, len(data), FIELD, 1 << 60, b",").state != QUOTED)
    runs = list(cutter(data, piece_bytes).runs(partition_bytes, 1 << 20))
    assert b"".join(run.data for run in runs) == data
    assert sum(run.records for run in runs) == len(scan_records(data, b",").records)
    place = 0
    for run in runs:
        assert (run.offset_bytes, run.line) == (place, data.count(b"\n", 0, place) + 1)
        assert run.is_whole and run.records == len(scan_records(run.data, b",").records)
        assert len(run.data) <= partition_bytes or run.records == 1
        place += len(run.data)


@given(letters, st.integers(1, 30), st.integers(1, 9), st.integers(1, 9))
def test_a_record_that_is_too_long_comes_as_its_beginning(
    data: bytes, partition_bytes: int, piece_bytes: int, most_bytes: int
) -> None:
    assume(walk(data, 0, len(data), FIELD, 1 << 60, b",").state != QUOTED)
    expected = [data[start:stop] for start, stop in scan_records(data, b",").records[:, [START, STOP]].tolist()]
    found: list[bytes] = []
    for run in cutter(data, piece_bytes).runs(partition_bytes, most_bytes):
        assert run.line == data.count(b"\n", 0, run.offset_bytes) + 1
        found += records_of(run)
    assert len(found) == len(expected)
    for record, whole in zip(found, expected, strict=True):
        assert record == whole or (len(record) == most_bytes + 1 and whole.startswith(record.rstrip(b"\r")))


def records_of(run: Run) -> list[bytes]:
    if not run.is_whole:
        return [run.data]
    return [run.data[start:stop] for start, stop in scan_records(run.data, b",").records[:, [START, STOP]].tolist()]


@given(letters, st.integers(1, 30), st.integers(1, 30))
def test_a_file_that_ends_in_a_quoted_field_is_never_taken(data: bytes, partition_bytes: int, most_bytes: int) -> None:
    state = walk(data, 0, len(data), FIELD, 1 << 60, b",").state
    assume(state == QUOTED)
    with pytest.raises(TruncatedInput, match=r"x\.csv: ends inside a quoted field"):
        list(cutter(data, 7).runs(partition_bytes, most_bytes))
