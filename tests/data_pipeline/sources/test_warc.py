from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from data_pipeline.sources.warc import Warc
from data_pipeline.stages.source_settings import describe
from foundation.errors import ConfigError, InputError, SettingError
from tests.data_pipeline.sources.warcs import BROKEN, END, HTML, answer, chunked, members, page, reasons, record, sha1

warc = pytest.importorskip("fastwarc.warc")
pytest.importorskip("resiliparse")

Read = Callable[..., Any]
Write = Callable[[str, bytes], str]


def passed_over(source: Warc) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for number, file in enumerate(source.files()):
        for block in source.blocks(file, 1 << 20):
            counts += source.parse(block, file, number).passed_over
    return dict(counts)


def test_every_form_of_a_file_gives_the_same_documents(read: Read, write: Write) -> None:
    records = [
        record("warcinfo", b"software: x\r\n", Content_Type="application/warc-fields"),
        record("request", b"GET / HTTP/1.1\r\n\r\n", Content_Type="application/http; msgtype=request"),
        page(HTML.encode(), "one"),
        record("metadata", b"x: y\r\n", Content_Type="application/warc-fields"),
        record("conversion", b"taken out\n", "two", Content_Type="text/plain",
               WARC_Identified_Content_Language="eng"),
    ]  # fmt: skip
    about = {"url": "https://host/one", "date": "2024-05-06T07:08:09Z", "http_status": 200}
    about |= {"content_type": "text/html", "charset": "utf-8", "charset_from": "detected"}
    other = {"url": "https://host/two", "date": "2024-05-06T07:08:09Z", "content_type": "text/plain"}
    other |= {"languages": "eng"}
    data = b"".join(records)
    forms = {"plain": data, "members": members(*records), "one": gzip.compress(data), "zst": zstandard.compress(data)}
    forms["few newlines"] = data.replace(END + b"WARC/", b"\r\nWARC/").removesuffix(END)
    for name, form in forms.items():
        for partition_bytes in (1, 700, 1 << 20):
            documents, quarantined = read(Warc([write(f"{name}/x.warc", form)]), partition_bytes)
            assert quarantined == [], name
            assert [(each["row"], each["id"], each["text"]) for each in documents] == [
                (2, "urn:uuid:one", HTML), (4, "urn:uuid:two", "taken out\n"),
            ], name  # fmt: skip
            assert [json.loads(each["metadata"]) for each in documents] == [about, other]


def test_what_is_no_page_is_counted_by_what_it_is(read: Read, write: Write) -> None:
    records = [
        record("warcinfo", b""),
        record("request", b"GET / HTTP/1.1\r\n\r\n"),
        record("revisit", answer(b"")),
        record("strange", b""),
        record("response", b"\0\1", Content_Type="text/dns"),
        record("response", answer(b"%PDF", "application/pdf")),
        record("response", answer(b"")),
        record("response", answer(b"<p>gone", status="404 Not Found")),
        record("resource", b"<p>not asked for", Content_Type="text/html"),
        record("conversion", b"{}", Content_Type="application/json"),
        page(b"<p>it"),
    ]
    source = Warc([write("x.warc.gz", members(*records))])
    documents, quarantined = read(source)
    assert ([each["row"] for each in documents], quarantined) == ([10], [])
    assert passed_over(source) == {
        "records_of_type_warcinfo": 1,
        "records_of_type_request": 1,
        "records_of_type_revisit": 1,
        "records_of_type_unknown": 1,
        "records_of_other_protocol": 1,
        "records_of_other_content_type": 2,
        "records_without_text": 1,
        "records_of_other_status": 1,
        "records_of_type_resource": 1,
    }


def test_what_is_taken_is_a_setting(read: Read, write: Write) -> None:
    path = write(
        "x.warc",
        record("response", answer(b"plain", "text/plain", "203 Other"))
        + record("resource", "é".encode("latin-1"), Content_Type='Text/Plain; charset="ISO-8859-1"'),
    )
    settings = {"record_types": ["response", "resource"], "content_types": ["TEXT/plain"], "http_statuses": [203]}
    documents, _ = read(Warc([path], **settings))
    assert [each["text"] for each in documents] == ["plain", "é"]


def test_records_that_are_too_long_cost_themselves_alone(read: Read, write: Write) -> None:
    long = page(b"<p>" + b"x" * 300_000)
    other = record("response", answer(b"v" * 300_000, "video/mp4"))
    data = page(b"<p>1") + long + page(b"<p>2") + other + page(b"<p>3") + long
    for partition_bytes in (1, 1 << 20):
        source = Warc([write("x.warc", data)], max_doc_bytes=10_000)
        documents, quarantined = read(source, partition_bytes)
        assert [(each["row"], each["text"]) for each in documents] == [(0, "<p>1"), (2, "<p>2"), (4, "<p>3")]
        assert reasons(quarantined) == [(1, "too_long"), (5, "too_long")]
        assert passed_over(source) == {"records_of_other_content_type": 1}


def test_digests_are_verified_where_there_are_any(read: Read, write: Write) -> None:
    body, chunks = b"<p>words", chunked(b"<p>words")
    whole = answer(chunks, Transfer_Encoding="chunked")
    good = [
        {"WARC_Payload_Digest": sha1(body)},
        {"WARC_Payload_Digest": sha1(chunks)},
        {"WARC_Payload_Digest": "SHA-256:" + hashlib.sha256(body).hexdigest(), "WARC_Block_Digest": sha1(whole)},
        {"WARC_Payload_Digest": "md5:" + hashlib.md5(body).hexdigest()},
        {"WARC_Payload_Digest": "blake9:abc"},  # no one can tell
    ]
    bad = [
        {"WARC_Payload_Digest": sha1(b"<p>swords")},
        {"WARC_Payload_Digest": sha1(body), "WARC_Block_Digest": sha1(body)},
        {"WARC_Payload_Digest": "sha1:not base32"},
    ]
    data = b"".join(record("response", whole, **fields) for fields in good + bad)
    data += record("conversion", b"text", Content_Type="text/plain", WARC_Block_Digest=sha1(b"test"))
    path = write("x.warc", data)
    documents, quarantined = read(Warc([path]))
    assert [each["row"] for each in documents] == [0, 1, 2, 3, 4]
    assert reasons(quarantined) == [(5, "digest"), (6, "digest"), (7, "digest"), (8, "digest")]
    assert len(read(Warc([path], verify_digests=False))[0]) == 9


def test_ids_fall_back_to_the_address_and_the_place(read: Read, write: Write) -> None:
    data = page(b"<p>1", "a", WARC_Record_ID="") + page(b"<p>2", "b", WARC_Record_ID="", WARC_Target_URI="")
    documents, _ = read(Warc([write("x.warc", data)]))
    assert [each["id"] for each in documents] == ["https://host/a", "x.warc#1"]


def test_a_record_that_its_crawler_cut_says_so(read: Read, write: Write) -> None:
    documents, _ = read(Warc([write("x.warc", page(b"<p>begin", WARC_Truncated="length"))]))
    assert json.loads(documents[0]["metadata"])["truncated"] == "length"


def test_a_wat_file_is_refused_by_what_it_is(write: Write, read: Read) -> None:
    about = record("warcinfo", b"software: x\r\n", Content_Type="application/warc-fields")
    wat = record("metadata", b'{"Envelope": {}}', Content_Type="application/json")
    for partition_bytes in (1, 1 << 20):
        for data in (about + wat + wat, members(about, wat), wat):
            with pytest.raises(
                InputError, match=r"x\.warc: is a WAT file, .* no text of them; take the WARC file .* WET"
            ):
                read(Warc([write("x.warc", data)]), partition_bytes)
    for first in (
        page(b"<p>x"),
        record("metadata", b"x: y", Content_Type="application/warc-fields"),
        BROKEN["no length"],
    ):
        read(Warc([write("x.warc", about + first + wat)]))


def test_files_of_fastwarc_s_own_writer_are_read(read: Read, write: Write) -> None:
    stream = io.BytesIO()
    for number in range(3):
        made = warc.WarcRecord()
        made.init_headers(
            record_type=warc.WarcRecordType.response, record_urn=b"00000000-0000-0000-0000-00000000000%d" % number
        )
        made.headers["Content-Type"] = "application/http; msgtype=response"
        made.set_bytes_content(answer(b"<p>page %d" % number))
        made.write(stream, checksum_data=True)
    documents, quarantined = read(Warc([write("x.warc", stream.getvalue())]))
    assert [each["text"] for each in documents] == ["<p>page 0", "<p>page 1", "<p>page 2"]
    assert quarantined == []


def test_settings_that_cannot_work_are_refused() -> None:
    for key, value in (
        ("record_types", ["request"]),
        ("record_types", []),
        ("content_types", []),
        ("http_statuses", []),
    ):
        with pytest.raises(SettingError, match=f"^{key}: "):
            Warc(["x.warc"], **{key: value})
    describe(Warc(["x.warc"]))


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    source = Warc([write("x.warc", page(b"<p>x"))])
    file = source.files()[0]
    (block,) = source.blocks(file, 1000)
    for module, package in (("fastwarc.warc", "fastwarc"), ("resiliparse.parse.encoding", "resiliparse")):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, module, None)
            with pytest.raises(ConfigError, match=rf"package {package} .*pip install -e '\.\[web\]'"):
                source.parse(block, file, 0)


def test_a_run_tells_what_was_passed_over(
    config: Callable[..., dict[str, Any]], go: Callable[..., Any], made: Any, tmp_path: Path
) -> None:
    records = [record("warcinfo", b"")]
    for number in range(60):
        words = " ".join(f"w{(number * 37 + place * place) % 997}" for place in range(120))
        records += [record("request", b"GET / HTTP/1.1\r\n\r\n"), page(f"<p>{words}".encode(), str(number))]
    records.insert(30, BROKEN["no length"])
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.warc.gz").write_bytes(members(*records))
    ledgers = []
    for workers in (1, 2):
        tree = config(made.folder, tmp_path / f"out{workers}", executor__workers=workers, partition_bytes=1 << 12)
        target = "data_pipeline.sources.warc.Warc"
        tree["corpus"] = {"_target_": target, "paths": [f"{tmp_path}/in/*"], "source": "crawl"}
        go(tree)
        ledgers.append((tmp_path / f"out{workers}" / "ledger.json").read_bytes())
    assert ledgers[0] == ledgers[1]
    ledger = json.loads(ledgers[0])
    clean = ledger["stages"]["clean"]["crawl"]
    assert (clean["in"], clean["out"], clean["quarantined"]) == (61, 60, {"warc": 1})
    assert ledger["counts"]["clean"] == {"records_of_type_request": 60, "records_of_type_warcinfo": 1}
