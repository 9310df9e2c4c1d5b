"""The bodies of WARC records: unpacked, and decoded by what says their encoding."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from data_pipeline.sources.warc import Warc
from tests.data_pipeline.sources.warcs import HTML, answer, chunked, reasons, record

warc = pytest.importorskip("fastwarc.warc")
pytest.importorskip("resiliparse")

Read = Callable[..., Any]
Write = Callable[[str, bytes], str]


def test_bodies_are_unpacked_and_unchunked(read: Read, write: Write) -> None:
    body = HTML.encode()
    packed = gzip.compress(body)
    answers = [
        answer(chunked(body), Transfer_Encoding="chunked"),
        answer(packed, Content_Encoding="gzip"),
        answer(chunked(packed), Content_Encoding="GZIP", Transfer_Encoding="Chunked"),
        answer(body, Content_Encoding="gzip", Transfer_Encoding="chunked"),  # stored unpacked below its old head
    ]
    documents, quarantined = read(Warc([write("x.warc", b"".join(record("response", each) for each in answers))]))
    assert [each["text"] for each in documents] == [HTML] * 4
    assert quarantined == []


def test_broken_bodies_are_quarantined(read: Read, write: Write) -> None:
    packed = gzip.compress(HTML.encode() * 50)
    answers = [
        answer(chunked(b"some words")[:-9], Transfer_Encoding="chunked"),
        answer(packed[:30] + b"broken" + packed[36:], Content_Encoding="gzip"),
        b"no answer at all",
        answer(b"<p>good"),
    ]
    documents, quarantined = read(Warc([write("x.warc", b"".join(record("response", each) for each in answers))]))
    assert [each["row"] for each in documents] == [3]
    assert reasons(quarantined) == [(0, "payload"), (1, "payload"), (2, "http")]
    assert quarantined[2].data.startswith(b"WARC/1.0") and b"no answer at all" in quarantined[2].data


def test_a_page_that_unpacks_to_more_than_it_may_is_quarantined(read: Read, write: Write) -> None:
    bomb = answer(gzip.compress(b"a" * 50_000_000), Content_Encoding="gzip")
    documents, quarantined = read(Warc([write("x.warc", record("response", bomb))], max_doc_bytes=1 << 20))
    assert (documents, reasons(quarantined)) == ([], [(0, "too_long")])


JAPANESE = "日本語のテキストです。これは文章です。"
CHARSETS = [
    ("é".encode("latin-1"), "text/html; charset=ISO-8859-1", "é", "cp1252", "header"),
    ("<meta charset=koi8-r>слова".encode("koi8-r"), "text/html", "<meta charset=koi8-r>слова", "koi8-r", "meta"),
    (
        "<meta http-equiv='Content-Type' content='text/html; charset=windows-1251'>слова".encode("cp1251"),
        "text/html; charset=no-such-thing",
        "<meta http-equiv='Content-Type' content='text/html; charset=windows-1251'>слова",
        "cp1251",
        "meta",
    ),
    (JAPANESE.encode("shift_jis"), "text/html", JAPANESE, "shift_jis", "detected"),
    (b"\xef\xbb\xbf" + "é".encode(), "text/html; charset=latin-1", "é", "utf-8", "mark"),
    ("\ufeffwords".encode("utf-16-le"), "text/html; charset=utf-8", "words", "utf-16-le", "mark"),
    (JAPANESE.encode("shift_jis"), "text/html; charset=utf-8", JAPANESE, "shift_jis", "detected"),
]  # fmt: skip


@pytest.mark.bad_input(33)
@pytest.mark.parametrize(("body", "kind", "text", "charset", "who"), CHARSETS, ids=[each[4] for each in CHARSETS])
def test_text_is_decoded_by_mark_header_meta_or_detection(
    read: Read, write: Write, body: bytes, kind: str, text: str, charset: str, who: str
) -> None:
    documents, _ = read(Warc([write("x.warc", record("response", answer(body, kind)))]))
    assert documents[0]["text"] == text
    about = json.loads(documents[0]["metadata"])
    assert (about["charset"].replace("_", "-"), about["charset_from"]) == (charset.replace("_", "-"), who)
    assert "replaced" not in about


@pytest.mark.bad_input(33)
def test_characters_that_cannot_be_decoded_are_counted(read: Read, write: Write) -> None:
    body = b"words " * 100 + b"\xff" + b" words" * 100
    documents, _ = read(Warc([write("x.warc", record("response", answer(body, "text/html; charset=utf-8")))]))
    assert documents[0]["text"] == body.decode("utf-8", "replace")
    assert json.loads(documents[0]["metadata"])["replaced"] == 1


def test_extracted_text_that_is_no_utf8_is_quarantined(read: Read, write: Write) -> None:
    data = record("conversion", b"caf\xe9", Content_Type="text/plain")
    documents, quarantined = read(Warc([write("x.wet", data)]))
    assert (documents, reasons(quarantined)) == ([], [(0, "utf8")])
