from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.sources.source import TruncatedInput
from data_pipeline.sources.text import Text
from foundation.errors import InputError, SettingError

Read = Callable[..., Any]
Write = Callable[[str, bytes], str]


def test_a_file_is_a_document(read: Read, write: Write, tmp_path: Any) -> None:
    write("a.txt", b"\xef\xbb\xbfone\r\ntwo\n")
    write("b.txt.gz", gzip.compress("drei é".encode()))
    write("c.txt", b"")
    documents, quarantined = read(Text([f"{tmp_path}/*"]), 4)
    assert [(document["id"], document["text"]) for document in documents] == [
        ("a.txt#0", "one\r\ntwo\n"),
        ("b.txt.gz#0", "drei é"),
    ]
    assert not quarantined


@pytest.mark.parametrize("name", ["b.jsonl", "b.jsonl.zst", "B.NDJSON.gz"])
def test_json_lines_are_no_text(read: Read, write: Write, tmp_path: Any, name: str) -> None:
    write("a.jsonl.txt", b"words on JSON lines")
    assert len(read(Text([f"{tmp_path}/*"]))[0]) == 1
    write(name, b'{"text": "words"}')
    with pytest.raises(InputError, match=rf"^corpus\.paths: .*{name} is JSON lines by its name, .*corpus=jsonl"):
        Text([f"{tmp_path}/*"]).files()


@given(st.text(alphabet="ab \n", max_size=40), st.sampled_from(["\n\n", "aa", "\n"]), st.integers(1, 50))
def test_a_separator_cuts_as_str_split_does(
    read: Read, tmp_path_factory: pytest.TempPathFactory, text: str, separator: str, partition_bytes: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_text(text)
    documents, _ = read(Text([str(path)], separator=separator), partition_bytes)
    expected = [(row, part) for row, part in enumerate(text.split(separator)) if part.strip()]
    assert [(document["row"], document["text"]) for document in documents] == expected


@pytest.mark.parametrize(("typed", "meant"), [(r"\n\n", "\n\n"), (r"\t", "\t"), (r"\r\n", "\r\n"), (r"<\n>", "<\n>")])
def test_a_separator_is_typed_with_escapes(read: Read, write: Write, typed: str, meant: str) -> None:
    path = write("x.txt", f"one{meant}two".encode())
    documents, _ = read(Text([path], separator=typed))
    assert [document["text"] for document in documents] == ["one", "two"]


def test_bad_documents_are_quarantined_with_their_place(read: Read, write: Write) -> None:
    path = write("x.txt", b"good|ba\xff|" + b"x" * 50 + b"|good too|")
    for partition_bytes in (1, 10, 1000):
        documents, quarantined = read(Text([path], separator="|", max_doc_bytes=20), partition_bytes)
        assert [document["row"] for document in documents] == [0, 3]
        assert [(bad.row, bad.offset_bytes, bad.reason) for bad in quarantined] == [(1, 5, "utf8"), (2, 9, "too_long")]
        assert quarantined[0].data == b"ba\xff"


@pytest.mark.bad_input(13)
def test_a_file_that_ends_inside_a_character_was_cut(read: Read, write: Write) -> None:
    data = "one|two \N{GRINNING FACE}".encode()
    for separator in ("|", None):
        for partition_bytes in (1, 1 << 20):
            for size in (1, 2, 3):
                _, (bad,) = read(Text([write("x.txt", data[:-size])], separator=separator), partition_bytes)
                assert bad.reason == "utf8_eof"
    documents, (bad,) = read(Text([write("x.txt", data[:-1] + b"|three")], separator="|"))
    assert ([document["text"] for document in documents], bad.reason) == (["one", "three"], "utf8")


def test_a_whole_file_is_quarantined_for_the_same_reasons(read: Read, write: Write) -> None:
    for data, reason in ((b"ba\xff", "utf8"), (b"x" * 50, "too_long")):
        documents, (bad,) = read(Text([write("x.txt", data)], max_doc_bytes=20))
        assert (documents, bad.reason, bad.offset_bytes) == ([], reason, 0)


def test_a_document_of_just_the_bytes_allowed_is_taken(read: Read, write: Write) -> None:
    path = write("x.txt", b"a" * 20 + b"|" + b"b" * 21)
    documents, (bad,) = read(Text([path], separator="|", max_doc_bytes=20))
    assert [document["text"] for document in documents] == ["a" * 20]
    assert (bad.row, bad.data) == (1, b"b" * 21)


def test_a_cut_file_fails_and_its_whole_path_is_named(read: Read, write: Write) -> None:
    path = write("x.txt.gz", gzip.compress(b"hello")[:-3])
    with pytest.raises(TruncatedInput, match=f"^{path}: ends after"):
        read(Text([path]))


def test_a_setting_that_cannot_work_is_refused_by_its_key() -> None:
    with pytest.raises(SettingError, match=r"^separator: "):
        Text(["x"], separator="")
