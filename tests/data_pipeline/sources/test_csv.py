from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.sources.csv import Csv
from data_pipeline.sources.source import TruncatedInput
from foundation.errors import InputError, SettingError

Read = Callable[..., Any]
Write = Callable[[str, bytes], str]
GOOD = b'id,text,url\r\none,"a\nb, ""c""",u\r\n\r\n,\xc3\xa9,"v"'


def test_every_form_of_a_file_gives_the_same_documents(read: Read, write: Write) -> None:
    expected = [
        {"file": 0, "row": 0, "id": "one", "text": 'a\nb, "c"', "metadata": '{"url":"u"}'},
        {"file": 0, "row": 2, "id": "x#2", "text": "é", "metadata": '{"url":"v"}'},
    ]
    forms = {
        "plain": GOOD,
        "newline": GOOD + b"\n",
        "bom": b"\xef\xbb\xbf" + GOOD,
        "lf": GOOD.replace(b"\r\n", b"\n"),
        "gz": gzip.compress(GOOD),
        "zst": zstandard.compress(GOOD),
    }
    for name, form in forms.items():
        for partition_bytes in (1, 25, 1 << 20):
            documents, quarantined = read(Csv([write(f"{name}/x", form)]), partition_bytes)
            assert (documents, quarantined) == (expected, []), name


values = st.text(alphabet='ab",\n\té', max_size=12)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=8), st.integers(1, 60), st.sampled_from(",\t"))
def test_documents_are_what_the_standard_library_writes(
    read: Read,
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    partition_bytes: int,
    delimiter: str,
) -> None:
    sink = io.StringIO(newline="")
    csv.writer(sink, delimiter=delimiter).writerows([("text", "n"), *rows])
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(sink.getvalue().encode())
    documents, quarantined = read(Csv([str(path)], delimiter=delimiter), partition_bytes)
    assert not quarantined
    assert [(each["text"], json.loads(each["metadata"])["n"]) for each in documents] == rows


def test_bad_records_are_quarantined_with_their_line_and_bytes(read: Read, write: Write) -> None:
    records = [
        (b'"a\nb",1', None),
        (b"c", "ragged"),
        (b"c,2,3", "ragged"),
        (b'"c"d,"4', "csv_quote"),
        (b"ba\xff,5", "utf8"),
        (b'"' + b"x\n" * 30 + b'",6', "too_long"),
        (b"e,7", None),
    ]
    data = b"text,n\n" + b"".join(record + b"\n" for record, _ in records)
    for partition_bytes in (1, 40, 1 << 20):
        documents, quarantined = read(Csv([write("x.csv", data)], max_doc_bytes=50), partition_bytes)
        assert [(document["row"], document["text"]) for document in documents] == [(0, "a\nb"), (6, "e")]
        expected = [(row, record, reason) for row, (record, reason) in enumerate(records) if reason]
        assert [(bad.row, bad.reason) for bad in quarantined] == [(row, reason) for row, _, reason in expected]
        for bad, (_, record, _) in zip(quarantined, expected, strict=True):
            assert record.startswith(bad.data) and len(bad.data) >= min(len(record), 51)
            assert bad.offset_bytes == data.index(record) and bad.line == data.count(b"\n", 0, bad.offset_bytes) + 1


def test_a_record_of_just_the_bytes_allowed_is_taken(read: Read, write: Write) -> None:
    for end in (b"", b"\n", b"\r\n"):
        for partition_bytes in (1, 1 << 20):
            path = write("x.csv", b"text\n" + b"a" * 9 + b"\n" + b"b" * 10 + b"\r\n" + b"c" * 10 + end)
            assert len(read(Csv([path], max_doc_bytes=10), partition_bytes)[0]) == 3
            documents, quarantined = read(Csv([path], max_doc_bytes=9), partition_bytes)
            assert [each["text"] for each in documents] == ["a" * 9]
            assert [(bad.row, bad.reason, bad.line) for bad in quarantined] == [(1, "too_long", 3), (2, "too_long", 4)]


@pytest.mark.bad_input(13)
def test_a_quote_that_is_never_closed_fails_the_file(read: Read, write: Write) -> None:
    path = write("x.csv", b'text,n\na,1\n"b\nb",2\n"c,3\n' + b"d,4\n" * 30)
    for partition_bytes, most in ((1, 1 << 20), (1 << 20, 1 << 20), (1, 20), (30, 20)):
        with pytest.raises(TruncatedInput, match=r"x\.csv: ends inside a quoted field .* begins in line 5;"):
            read(Csv([path], max_doc_bytes=most), partition_bytes)


@pytest.mark.bad_input(13)
def test_a_last_record_that_is_cut_says_so(read: Read, write: Write) -> None:
    data = 'text,n,m\n"a\nb",1,x\nc,d,é'.encode()
    for end, reason in ((-1, "utf8_eof"), (-2, None), (-3, "csv_eof"), (-4, "csv_eof"), (-5, "csv_eof")):
        for partition_bytes in (1, 1 << 20):
            cut = data[: len(data) + end]
            _, quarantined = read(Csv([write("x.csv", cut)]), partition_bytes)
            assert [(bad.row, bad.line, bad.reason) for bad in quarantined] == ([(1, 4, reason)] if reason else [])
            _, (bad,) = read(Csv([write("x.csv", data + b"\nc,d\n")]), partition_bytes)
            assert bad.reason == "ragged"  # the line end is there: nothing was cut
    for wrong, reason in ((b"c,d,e,f", "ragged"), (b"ba\xff,5,6", "utf8")):
        _, (bad,) = read(Csv([write("x.csv", data[:19] + wrong)]))
        assert bad.reason == reason  # no cut makes this of a record that was whole


def test_the_column_of_the_text_is_found_or_named(read: Read, write: Write) -> None:
    path = write("x.csv", b"texts;url\na;b\n")
    with pytest.raises(InputError, match=r"no column 'text'.*columns seen: 'texts;url'.*corpus\.delimiter to ';'"):
        read(Csv([path]))
    with pytest.raises(InputError, match=r"columns seen: 'texts', 'url', did you mean 'texts'\?"):
        read(Csv([path], delimiter=";"))
    documents, _ = read(Csv([path], delimiter=";", text_key="texts", id_key="url"))
    assert [(each["text"], each["id"], each["metadata"]) for each in documents] == [("a", "b", "{}")]
    with pytest.raises(InputError, match="has the column 'n' twice"):
        read(Csv([write("y.csv", b"text,n,n\n")]))
    with pytest.raises(InputError, match="header is no UTF-8"):
        read(Csv([write("z.csv", b"text,\xff\n")]))


@pytest.mark.parametrize("data", [b"", b"text", b"text\n\n\r\n", gzip.compress(b"", mtime=0)])
def test_empty_files_hold_nothing_and_are_no_error(read: Read, write: Write, data: bytes) -> None:
    assert read(Csv([write("x.csv", data)])) == ([], [])


def test_utf_16_is_refused(read: Read, write: Write) -> None:
    with pytest.raises(InputError, match="UTF-16"):
        read(Csv([write("x.csv", "text\nwords".encode("utf-16"))]))


ROWS = b"text,n\n" + b"".join(b'"line %d\n of ""text""",%d\n' % (row, row) for row in range(60))


def test_a_cut_at_every_byte_of_a_compressed_file_is_noticed(read: Read, write: Write) -> None:
    for name, whole in (
        ("x.csv.zst", zstandard.ZstdCompressor(write_checksum=True).compress(ROWS)),
        ("x.csv.gz", gzip.compress(ROWS)),
    ):
        path = write(name, whole)
        assert len(read(Csv([path]))[0]) == 60
        for cut in reversed(range(len(whole))):
            os.truncate(path, cut)
            with pytest.raises(TruncatedInput, match=rf"{name}: ends after byte {cut}\b"):
                read(Csv([path]), 200)


def test_a_cut_of_a_plain_file_loses_no_record_that_it_holds(read: Read, write: Write) -> None:
    for cut in range(7, len(ROWS), 3):
        held = len([1 for row in range(60) if ROWS.index(b"line %d\n" % row) - 1 < cut])
        try:
            documents, quarantined = read(Csv([write("x.csv", ROWS[:cut])]), 200)
        except TruncatedInput:
            continue
        assert len(documents) + len(quarantined) == held


def test_a_flipped_bit_of_a_checked_file_fails_it_or_changes_nothing(read: Read, write: Write) -> None:
    whole = zstandard.ZstdCompressor(write_checksum=True).compress(ROWS)
    expected = read(Csv([write("x.csv", whole)]))
    draw = random.Random(3)
    failed = 0
    for _ in range(300):
        flipped = bytearray(whole)
        flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
        try:
            assert read(Csv([write("x.csv", bytes(flipped))])) == expected
        except InputError:
            failed += 1
    assert failed > 250


@pytest.mark.parametrize(
    ("setting", "value"),
    [("delimiter", ""), ("delimiter", '"'), ("delimiter", "::"), ("delimiter", "é"), ("id_key", "text")],
)
def test_a_setting_that_cannot_work_is_refused_by_its_key(setting: str, value: str) -> None:
    with pytest.raises(SettingError, match=rf"^{setting}: "):
        Csv(["x"], **{setting: value})  # type: ignore[arg-type]


def test_a_tab_is_typed_as_two_characters(read: Read, write: Write) -> None:
    assert len(read(Csv([write("x.tsv", b"n\ttext\n1\ta b\n")], delimiter=r"\t"))[0]) == 1


@pytest.mark.bad_input(13)
@pytest.mark.parametrize("line", [b'{"question": "a, b", "answer":"c"}', b'{"a":"","b":"x, \\"y\\""}'])
def test_json_lines_are_answered_with_their_corpus_and_cut(read: Read, write: Write, line: bytes) -> None:
    long = line.replace(b"x", b"x" * 5_000).replace(b"a, b", b"a, b" * 5_000)
    with pytest.raises(InputError, match=r"x\.csv: begins with \{.*, so it is JSON lines; type corpus=jsonl") as raised:
        read(Csv([write("x.csv", (long + b"\n") * 40)]), 1 << 20)
    assert len(str(raised.value)) < 300


def test_columns_are_shown_cut(read: Read, write: Write) -> None:
    with pytest.raises(InputError, match=r"has no column 'text' \(corpus\.text_key\)") as raised:
        read(Csv([write("x.csv", b",".join(b"c%d" % place * 500 for place in range(60)) + b"\n")]), 1 << 20)
    assert len(str(raised.value)) < 1_500


def test_an_id_column_that_was_named_and_is_not_there_is_told(
    read: Read, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [write(f"{name}.csv", b"uid,text\n1,a\n") for name in "ab"]
    read(Csv(paths, id_key="uids"), 1 << 20)
    said = capsys.readouterr().err
    assert said.count("warning: ") == 1 and "a.csv: has no column 'uids' (corpus.id_key)" in said
    assert "did you mean 'uid'?" in said
    read(Csv(paths, id_key="uid"), 1 << 20)
    assert capsys.readouterr().err == ""
