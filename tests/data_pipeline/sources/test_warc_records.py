"""Broken records and broken files of WARC."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.sources.source import TruncatedInput
from data_pipeline.sources.warc import Warc
from foundation.errors import InputError
from tests.data_pipeline.sources.warcs import BROKEN, answer, members, page, reasons, record

warc = pytest.importorskip("fastwarc.warc")
pytest.importorskip("resiliparse")

Read = Callable[..., Any]
Write = Callable[[str, bytes], str]


@pytest.mark.bad_input(38)
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_costs_itself_alone(read: Read, write: Write, name: str) -> None:
    data = page(b"<p>1") + BROKEN[name] + page(b"<p>2", "b") + page(b"<p>3", "c")
    for partition_bytes in (1, 600, 1 << 20):
        documents, quarantined = read(Warc([write("x.warc", data)]), partition_bytes)
        texts, bad = [each["text"] for each in documents], reasons(quarantined)
        assert (texts, bad) == (["<p>1", "<p>2", "<p>3"], [(1, "warc")])
        assert quarantined[0].data == BROKEN[name]
        assert quarantined[0].offset_bytes == len(page(b"<p>1"))


@pytest.mark.bad_input(38)
@pytest.mark.parametrize("cut", [1, 5, 20, 150, 300])
def test_a_file_that_ends_inside_a_record_fails(write: Write, cut: int) -> None:
    data = page(b"<p>1") + page(b"<p>2" + b" words" * 30)
    for name, form in (("x.warc", data[: -4 - cut]), ("x.warc.gz", members(page(b"<p>1"), page(b"<p>2"))[:-cut])):
        source = Warc([write(name, form)])
        with pytest.raises(TruncatedInput, match="fetch the file again, or leave it out"):
            list(source.blocks(source.files()[0], 1 << 20))


@pytest.mark.bad_input(38)
def test_a_length_beyond_the_file_fails_it(write: Write) -> None:
    data = page(b"<p>1") + record("response", answer(b"<p>x"), length=10**15) + page(b"<p>2")
    source = Warc([write("x.warc", data)])
    with pytest.raises(TruncatedInput, match=f"ends inside the record that begins at byte {len(page(b'<p>1'))}"):
        list(source.blocks(source.files()[0], 1))
    source = Warc(
        [write("y.warc", record("response", answer(b"<p>x"), length=3000) + page(b"<p>2" * 2000))], max_doc_bytes=1000
    )
    with pytest.raises(InputError, match="claims 3,000 bytes, and no other follows them"):
        list(source.blocks(source.files()[0], 1))


def test_what_is_no_warc_is_refused_and_an_empty_file_is_none(read: Read, write: Write) -> None:
    for data in (b'{"text": "a"}\n', b"\n" + page(b"x"), b"WARC"):
        source = Warc([write("x.warc", data)])
        with pytest.raises(InputError, match=r"begins with b'.*it is no WARC"):
            list(source.blocks(source.files()[0], 1))
    assert read(Warc([write("empty.warc", b"")])) == ([], [])


@pytest.mark.bad_input(38)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_ends_in_an_error_or_in_quarantine_and_rows_do_not_depend_on_blocks(data: st.DataObject) -> None:
    whole = bytearray(b"".join(page(b"<p>page %d" % number, str(number)) for number in range(6)))
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(5, len(whole) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert"])):
            case "flip":
                whole[place] ^= data.draw(st.integers(1, 255))
            case "cut":
                del whole[place : place + data.draw(st.integers(1, 400))]
            case _:
                whole[place:place] = data.draw(st.binary(max_size=300))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.warc"
        path.write_bytes(whole)
        found = [outcome(Warc([str(path)]), bytes(whole), partition_bytes) for partition_bytes in (1, 900, 1 << 20)]
    assert found[0] == found[1] == found[2]


def outcome(source: Warc, whole: bytes, partition_bytes: int) -> Any:
    """Rows of documents and what was quarantined, or the error of a file; checks that each byte and row comes once."""
    (file,) = source.files()
    try:
        blocks = list(source.blocks(file, partition_bytes))
    except InputError as error:
        return type(error), str(error).partition(".warc")[2]
    parsed = [source.parse(block, file, 0) for block in blocks]
    assert b"".join(block.data for block in blocks) == whole
    counts = [len(each.documents) + len(each.quarantined) + each.passed_over.total() for each in parsed]
    assert [block.first_row for block in blocks] == [sum(counts[:number]) for number in range(len(blocks))]
    rows = [row for each in parsed for row in each.documents.column("row").to_pylist()]
    return rows, [(each.row, each.offset_bytes, each.reason) for one in parsed for each in one.quarantined]
