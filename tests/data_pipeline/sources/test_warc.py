from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.sources.source import TruncatedInput
from data_pipeline.sources.warc import Warc
from data_pipeline.stages.clean import describe
from foundation.errors import ConfigError, InputError, SettingError
from tests.data_pipeline.sources.warcs import END, answer, chunked, members, page, record, sha1

warc = pytest.importorskip("fastwarc.warc")
pytest.importorskip("resiliparse")

Read = Callable[..., Any]
Write = Callable[[str, bytes], str]
HTML = "<html><body>some words, á and 語</body></html>"


def reasons(quarantined: list[Any]) -> list[tuple[int, str]]:
    return [(each.row, each.reason) for each in quarantined]


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


BROKEN = {
    "length too large": record("response", answer(b"<p>x"), length=150),
    "length that ends in another": record("response", answer(b"<p>x"), length=400),
    "length too small": record("response", answer(b"<p>x"), length=20),
    "no length": page(b"<p>x").replace(b"Content-Length", b"Content-Size"),
    "length of letters": page(b"<p>x").replace(b"Content-Length: ", b"Content-Length: x"),
    "no end of the header": page(b"<p>x").replace(END, b"\r\n"),
    "no version": page(b"<p>x").replace(b"WARC/1.0", b"WARC/x.y"),
    "zeros": page(b"<p>x")[:100] + bytes(5000) + END,
}


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
