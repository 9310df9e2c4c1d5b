from __future__ import annotations

import io
import tarfile
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data_pipeline.sources.decompress import Piece
from data_pipeline.sources.records import (
    EVIDENCE_BYTES,
    TOO_LONG,
    check_limits,
    cut_records,
    evidence,
    text_pieces,
    whole_content,
)
from data_pipeline.sources.source import Block, InputFile
from foundation.errors import InputError, SettingError

MUCH = 1 << 20
few_letters = st.text(alphabet="ab\n", max_size=60).map(str.encode)


def pieces(data: bytes, size: int = 7) -> Iterator[Piece]:
    for start in range(0, len(data), size):
        yield Piece(data[start : start + size], start + size)


def records_of(blocks: list[Block], separator: bytes) -> dict[int, bytes]:
    """Return row -> record as a parser would see them; a block's last separator opens no record."""
    found: dict[int, bytes] = {}
    for block in blocks:
        records = block.data.split(separator)  # from the left: at the end `aa` in `aaa` is no separator
        for row, record in enumerate(records[:-1] if records[-1] == b"" else records, block.first_row):
            assert row not in found
            found[row] = record
    return found


@example(b"aaa", b"aa", 3, 1)
@given(few_letters, st.sampled_from([b"\n", b"\n\n", b"aa", b"aba"]), st.integers(1, 40), st.integers(1, 9))
def test_blocks_hold_the_records_of_a_split_whatever_their_size(
    data: bytes, separator: bytes, partition_bytes: int, piece_bytes: int
) -> None:
    blocks = list(cut_records(pieces(data, piece_bytes), separator, partition_bytes, MUCH))
    assert b"".join(block.data for block in blocks) == data
    found = records_of(blocks, separator)
    for row, record in enumerate(data.split(separator)):
        assert found.get(row, b"") == record
    place = 0
    for block in blocks:
        assert block.offset_bytes == place
        place += len(block.data)
        assert len(block.data) <= partition_bytes or block.data.removesuffix(separator).count(separator) == 0


@given(few_letters, st.integers(1, 40), st.integers(1, 9), st.integers(1, 9))
def test_blocks_are_cut_by_content_not_by_reads(data: bytes, partition_bytes: int, one: int, other: int) -> None:
    cuts = [
        [
            (block.first_row, block.offset_bytes, block.data)
            for block in cut_records(pieces(data, size), b"\n", partition_bytes, MUCH)
        ]
        for size in (one, other)
    ]
    assert cuts[0] == cuts[1]


@pytest.mark.bad_input(28, 29)
@given(few_letters, st.sampled_from([b"\n", b"ab"]), st.integers(1, 12), st.integers(1, 12), st.integers(1, 9))
def test_of_a_record_that_is_too_long_its_head_is_handed_on(
    data: bytes, separator: bytes, partition_bytes: int, most: int, piece_bytes: int
) -> None:
    found = records_of(list(cut_records(pieces(data, piece_bytes), separator, partition_bytes, most)), separator)
    for row, record in enumerate(data.split(separator)):
        got = found.get(row, b"")
        assert got == record if len(record) <= most else (len(got) > most and record.startswith(got))


@pytest.mark.bad_input(28)
@pytest.mark.parametrize("separator", [b"\n", b"\n=\n"])
def test_memory_stays_flat_over_an_endless_line(separator: bytes) -> None:
    handed_out = 0

    def endless() -> Iterator[Piece]:
        nonlocal handed_out
        for _ in range(2000):
            handed_out += 1
            yield Piece(b"x" * 100_000, 0)
        yield Piece(separator + b"short" + separator, 0)

    cutter = cut_records(endless(), separator, 1000, 5000)
    tracemalloc.start()
    try:
        head = next(cutter)
        assert (len(head.data), handed_out) == (5001, 1)
        rest = [(block.first_row, block.offset_bytes, block.data) for block in cutter]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rest == [(1, 200_000_000 + len(separator), b"short" + separator)]
    assert peak < 2_000_000  # some pieces, of 2,000


def test_a_bom_is_dropped_and_counted() -> None:
    blocks = list(cut_records(pieces(b"\xef\xbb\xbfa\nb", 2), b"\n", 2, MUCH))
    assert [(block.offset_bytes, block.data) for block in blocks] == [(3, b"a\n"), (5, b"b")]
    (block,) = whole_content(pieces(b"\xef\xbb\xbfabc", 2), MUCH)
    assert (block.offset_bytes, block.data) == (3, b"abc")


@given(st.binary(max_size=40), st.integers(1, 20), st.integers(1, 9))
def test_whole_content_is_one_record(data: bytes, most: int, piece_bytes: int) -> None:
    blocks = list(whole_content(pieces(data, piece_bytes), most))
    content = data.removeprefix(b"\xef\xbb\xbf")
    assert [block.data for block in blocks] == ([content[: most + 1]] if content else [])


@pytest.mark.bad_input(15)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_utf_16_and_32_are_refused_by_name(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "wide.jsonl"
    path.write_bytes('{"text": "a"}\n'.encode(encoding))
    with pytest.raises(InputError, match=r"wide\.jsonl: begins with .* UTF-16 or UTF-32, not UTF-8; .*iconv"):
        list(text_pieces(InputFile("wide.jsonl", path, 0), MUCH, 500.0))


@pytest.mark.parametrize("data", [b"", b"a", b"abc", b"abcd", b"\xff", "é\n".encode()])
def test_short_files_are_not_taken_for_wide_ones(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "short.txt"
    path.write_bytes(data)
    assert b"".join(piece.data for piece in text_pieces(InputFile("short.txt", path, 0), MUCH, 500.0)) == data


def test_of_a_record_that_is_too_long_the_beginning_is_kept() -> None:
    record = bytes(range(256)) * 1000
    assert evidence(record, TOO_LONG) == record[:EVIDENCE_BYTES]
    assert evidence(record, "json") == record


def test_a_setting_that_cannot_work_is_refused_by_its_key() -> None:
    with pytest.raises(SettingError, match=r"^max_doc_bytes: "):
        check_limits(0, 1 << 20, 500.0)
    with pytest.raises(SettingError, match=r"^max_window_bytes: "):
        check_limits(1, 100, 500.0)
    with pytest.raises(SettingError, match=r"^max_ratio: 0\.5 is not allowed"):
        check_limits(1, 1 << 20, 0.5)


def tables() -> dict[str, bytes]:
    table = pa.table({"text": ["some words"] * 3})
    parquet, none, arrow = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    pq.write_table(table.slice(0, 0), none)
    with pa.ipc.new_file(arrow, table.schema) as writer:
        writer.write_table(table)
    return {"parquet": parquet.getvalue(), "parquet of no rows": none.getvalue(), "arrow": arrow.getvalue()}


@pytest.mark.parametrize(("name", "data"), tables().items())
def test_tables_are_no_text_and_name_what_reads_them(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(data)
    magic = data[:4].decode()
    with pytest.raises(InputError, match=rf"x\.jsonl: begins with b'{magic}.*corpus={name.split()[0]}, "):
        list(text_pieces(InputFile("x.jsonl", path, 0), MUCH, 500.0))


@pytest.mark.parametrize(
    "text",
    ["ARROWSMITH, a novel", "ARROW,text\n1,2\n", "ARROW1", "PAR1", "PAR1\n", "PAR1, of two", "PAR1é\t\r\n" * 999],
)
def test_a_text_that_begins_as_tables_do_is_a_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.txt"
    path.write_text(text, encoding="utf-8")
    pieces = text_pieces(InputFile("x.txt", path, 0), MUCH, 500.0)
    assert b"".join(piece.data for piece in pieces) == path.read_bytes()


@pytest.mark.bad_input(39)
@settings(max_examples=30)
@given(st.data(), st.integers(0, 900))
def test_a_text_with_the_magic_bytes_of_tar_is_a_text_and_every_archive_is_none(
    data: st.DataObject, behind: int
) -> None:
    text = b"x" * 257 + b"ustar" + b"y" * behind
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.txt"
        path.write_bytes(text)
        file = InputFile("x.txt", path, 0)
        assert b"".join(piece.data for piece in text_pieces(file, MUCH, 500.0)) == text
        form = data.draw(st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
        with tarfile.open(path, "w", format=form) as tar:
            tar.addfile(tarfile.TarInfo(data.draw(st.text("aé/.", min_size=1, max_size=90))))
        with pytest.raises(InputError, match="is a tar archive by its first bytes"):
            list(text_pieces(file, MUCH, 500.0))
