from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.sources.csv import Csv
from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.sources.key_search import PATIENCE, KeySearch, without_text
from data_pipeline.sources.several import Several
from data_pipeline.sources.source import TruncatedInput
from data_pipeline.sources.text import Text
from foundation.errors import InputError, SettingError

Read = Callable[..., Any]
Write = Callable[[str, bytes], str]
GOOD = b'{"text": "good"}\n'


@pytest.mark.bad_input(13, 15)
def test_every_form_of_a_file_gives_the_same_documents(read: Read, write: Write) -> None:
    data = b'{"id": "one", "text": "a\\nb", "url": "u"}\n\n{"text": "\\u00e9\xf0\x9f\x8e\x89"}'
    expected = [
        {"file": 0, "row": 0, "id": "one", "text": "a\nb", "metadata": '{"url":"u"}'},
        {"file": 0, "row": 2, "id": "x#2", "text": "é🎉", "metadata": "{}"},
    ]
    forms = {
        "plain": data,
        "newline": data + b"\n",
        "bom": b"\xef\xbb\xbf" + data,
        "crlf": data.replace(b"\n", b"\r\n"),
        "gz": gzip.compress(data),
        "zst": zstandard.compress(data),
    }
    for name, form in forms.items():
        for partition_bytes in (1, 50, 1 << 20):
            documents, quarantined = read(Jsonl([write(f"{name}/x", form)]), partition_bytes)
            assert (documents, quarantined) == (expected, []), name


BAD_LINES = {
    b'{"text": "a"': "json",
    b"text": "json",
    b'{"text": "a"} {"text": "b"}': "json",
    b'{"text": "a"}{"text": "b"}': "json",
    b'{"text": NaN}': "json",
    b'{"text": "a\tb"}': "json",
    b'\xef\xbb\xbf{"text": "a"}': "json",
    b'{"text": "a\xffb"}': "utf8",
    b'{"text": "\xed\xa0\x80"}': "utf8",
    b'{"text": "\\ud800"}': "surrogate",
    b'{"text": "a", "other": "\\udc00"}': "surrogate",
    b'{"text": "a", "n": ' + b"[" * 5000 + b"]" * 5000 + b"}": "depth",
    b'{"text": "a", "n": ' + b"[" * 500 + b"]" * 500 + b"}": "depth",
    b'{"text": "a", "n": ' + b"[" * 900 + b"1e-400" + b"]" * 900 + b"}": "depth",
    b'{"text": "a", "n": ' + b'{"a":' * 900 + b"1" + b"}" * 901: "depth",
    b'{"text": "a", "n": 1e400}': "number",
    b'["text"]': "not_object",
    b'"text"': "not_object",
    b"null": "not_object",
    b'{"txt": "a"}': "missing_text",
    b"{}": "missing_text",
    b'{"text": null}': "text_type",
    b'{"text": 12345678901234567890}': "text_type",
    b'{"text": ["a"]}': "text_type",
    b'{"text": "a", "text": "b"}': "dup_key",
    b'{"text": "a", "te\\u0078t": "b"}': "dup_key",
    b'{"text": "a", "n": 1, "n": 1}': "dup_key",
    b'{"text": "a", "n": [{"a": 1, "b" : 2}, {"a": 1, "a" : 2}]}': "dup_key",
    b'{"text": "' + b"a" * 12_000 + b'"}': "too_long",
}


@pytest.mark.bad_input(12, 14, 17, 19, 20, 21, 22, 24, 29)
@pytest.mark.parametrize(
    ("line", "reason"), BAD_LINES.items(), ids=[f"{r}{i}" for i, r in enumerate(BAD_LINES.values())]
)
def test_a_bad_line_is_quarantined_alone_with_its_place_and_bytes(
    read: Read, write: Write, line: bytes, reason: str
) -> None:
    path = write("x.jsonl", GOOD + line + b"\n" + GOOD)
    for partition_bytes in (20, 1 << 20):
        documents, (bad,) = read(Jsonl([path], max_doc_bytes=11_000), partition_bytes)
        assert [document["row"] for document in documents] == [0, 2]
        assert (bad.row, bad.offset_bytes, bad.reason) == (1, len(GOOD), reason)
        assert line.startswith(bad.data) and len(bad.data) > (11_000 if reason == "too_long" else len(line) - 1)


def test_a_line_of_just_the_bytes_allowed_is_taken(read: Read, write: Write) -> None:
    path = write("x.jsonl", GOOD * 2)
    assert len(read(Jsonl([path], max_doc_bytes=len(GOOD) - 1))[0]) == 2  # the newline is none of its bytes
    assert read(Jsonl([path], max_doc_bytes=len(GOOD) - 2))[0] == []


def test_all_bad_lines_of_one_block_are_told_apart(read: Read, write: Write) -> None:
    path = write("x.jsonl", GOOD + b"\n".join(BAD_LINES) + b"\n")
    documents, quarantined = read(Jsonl([path], max_doc_bytes=11_000))
    assert len(documents) == 1
    assert [(bad.row, bad.reason) for bad in quarantined] == list(enumerate(BAD_LINES.values(), 1))
    assert [bad.line for bad in quarantined] == [bad.row + 1 for bad in quarantined]


@pytest.mark.bad_input(13)
def test_a_cut_last_line_says_that_the_file_was_cut(read: Read, write: Write) -> None:
    documents, (bad,) = read(Jsonl([write("x.jsonl", GOOD + b'{"text": "lo')]))
    assert (len(documents), bad.reason, bad.row, bad.data) == (1, "json_eof", 1, b'{"text": "lo')


@pytest.mark.bad_input(13)
def test_a_line_that_is_cut_anywhere_says_so_also_inside_a_character(read: Read, write: Write) -> None:
    line = '{"text": "é \N{GRINNING FACE} \\ud83d\\ude00 語", "n": [1.5e3, true, null], "o": {"a": 1}}'.encode()
    for size in range(1, len(line)):
        _, (bad,) = read(Jsonl([write("x.jsonl", GOOD + line[:size])]))
        assert (bad.reason, bad.data) == ("json_eof", line[:size])
    for wrong, reason in ((b'{"text": "caf\xe9"}', "utf8"), (b'{"text": "\xff', "utf8"), (b"[1]", "not_object")):
        _, (bad,) = read(Jsonl([write("x.jsonl", GOOD + wrong)]))
        assert bad.reason == reason  # no cut makes this of a line that was whole
        _, (bad,) = read(Jsonl([write("x.jsonl", line[:30] + b"\n" + GOOD)]))
        assert bad.reason in ("json", "utf8")  # amid a file nothing was cut


@pytest.mark.bad_input(16)
def test_other_line_ends_than_newline_are_content(read: Read, write: Write) -> None:
    text = "a\u2028b\u2029c\x85d\x0b"
    documents, _ = read(Jsonl([write("x.jsonl", json.dumps({"text": text}, ensure_ascii=False).encode())]))
    assert [document["text"] for document in documents] == [text]


@pytest.mark.bad_input(25)
def test_ids_are_strings_and_integers_else_derived(read: Read, write: Write) -> None:
    ids = ['"a"', "7", "-7", "1" * 40, '""', "null", "true", "1.5", "[1]", '"../../x\\u0000"']
    path = write("x.jsonl", "".join(f'{{"id": {given}, "text": "t"}}\n' for given in ids).encode())
    documents, _ = read(Jsonl([path]))
    derived = {4: '{"id":""}', 5: '{"id":null}', 6: '{"id":true}', 7: '{"id":1.5}', 8: '{"id":[1]}'}
    assert [document["id"] for document in documents] == [
        "a", "7", "-7", "1" * 40, *(f"x.jsonl#{row}" for row in derived), "../../x\0",
    ]  # fmt: skip
    assert {row: documents[row]["metadata"] for row in derived} == derived  # nothing of a strange id is lost


@pytest.mark.bad_input(19)
def test_metadata_keeps_order_dates_and_digits(read: Read, write: Write) -> None:
    rest = f'"z":"2020-01-02T03:04:05Z","a":[1,{{"b":null}}],"n":{"1234567890" * 4},"x":0.12345678901234567890'
    documents, _ = read(Jsonl([write("x.jsonl", f'{{{rest},"text":"t"}}'.encode())]))
    assert documents[0]["metadata"] == f"{{{rest}}}"


def test_records_of_different_shape_stay_beside_each_other(read: Read, write: Write) -> None:
    shapes: list[Any] = [1, "1", None, [1], {"a": 1}, 1.5, True]
    path = write("x.jsonl", b"\n".join(orjson.dumps({"text": "t", "field": shape}) for shape in shapes))
    documents, _ = read(Jsonl([path]))
    assert [json.loads(document["metadata"])["field"] for document in documents] == shapes


names = st.text(max_size=5).filter(lambda name: name not in ("text", "id"))
fields = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    st.lists(st.tuples(texts, st.dictionaries(names, fields, max_size=4)), min_size=1, max_size=5),
    st.booleans(),
    st.integers(1, 300),
)
def test_documents_are_what_the_standard_library_reads(
    read: Read, tmp_path_factory: pytest.TempPathFactory, records: list[Any], ascii_only: bool, partition_bytes: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    lines = [json.dumps({"text": text, **rest}, ensure_ascii=ascii_only) for text, rest in records]
    path.write_bytes("\n".join(lines).encode())
    documents, quarantined = read(Jsonl([str(path)]), partition_bytes)
    assert not quarantined
    assert [document["text"] for document in documents] == [text for text, _ in records]
    exact = [json.loads(line, parse_int=Decimal, parse_float=Decimal) for line in lines]
    for document, record in zip(documents, exact, strict=True):
        del record["text"]
        assert json.loads(document["metadata"], parse_int=Decimal, parse_float=Decimal) == record


@pytest.mark.bad_input(23)
def test_no_record_with_the_text_key_is_an_error_that_lists_the_keys(read: Read, write: Write) -> None:
    path = write("x.jsonl", b'{"content": "a", "url": "u"}\n{"texts": "b"}\nno json\n')
    for partition_bytes in (1, 1 << 20):
        with pytest.raises(
            InputError,
            match=r"none of its 2 records has the key 'text' .*'content', 'texts', 'url'.*did you mean 'texts'",
        ):
            read(Jsonl([path]), partition_bytes)
    documents, _ = read(Jsonl([path], text_key="content"))
    assert [document["text"] for document in documents] == ["a"]


@pytest.mark.bad_input(23)
def test_a_wrong_text_key_is_noticed_after_a_thousand_objects(write: Write) -> None:
    keys = [json.dumps({f"key {number} {'x' * 10_000}": 1}).encode() for number in range(PATIENCE)]
    lines = [b'"no object"', b"no json", *keys]
    path = write("x.jsonl", b"\n".join([*lines, *[GOOD.strip()] * 5_000]))
    source = Jsonl([path])
    for partition_bytes, before in ((1, len(lines) - 1), (1 << 24, 0)):
        blocks = source.blocks(source.files()[0], partition_bytes)
        come = 0
        with pytest.raises(InputError, match=r"none of its first 1,000 records has the key 'text'.*seen: 'key 0 x"):
            for _ in blocks:
                come += 1
        assert come == before  # nothing behind them was handed on


def test_the_keys_that_are_kept_to_be_shown_are_few_and_short(write: Write) -> None:
    search = KeySearch("text")
    source = Jsonl([write("x.jsonl", b"")])
    for number in range(PATIENCE - 1):
        fields = {f"{number}-{place}-" + "k" * 1_000: 0 for place in range(30)}
        search.look(json.dumps(fields).encode() + b"\n")
    assert sum(map(len, search.keys)) <= 200 * 200
    assert search.ends_without() and len(str(without_text(search, source.files()[0], source))) < 2_000


def test_one_record_with_the_key_among_the_first_thousand_is_enough(read: Read, write: Write) -> None:
    path = write("x.jsonl", b'{"content": "a"}\n' * (PATIENCE - 1) + GOOD + b'{"content": "a"}\n' * PATIENCE)
    documents, quarantined = read(Jsonl([path]), 4_000)
    assert (len(documents), len(quarantined)) == (1, 2 * PATIENCE - 1)


def test_a_text_key_that_comes_late_is_enough(read: Read, write: Write) -> None:
    path = write("x.jsonl", b'{"content": "a"}\n' * 50 + GOOD)
    documents, quarantined = read(Jsonl([path]), 40)
    assert (len(documents), [bad.reason for bad in quarantined]) == (1, ["missing_text"] * 50)


@pytest.mark.bad_input(28)
def test_memory_stays_flat_over_a_line_without_an_end(read: Read, write: Write) -> None:
    size = 96 << 20
    path = write("x.jsonl.gz", gzip.compress(GOOD + b'{"text": "' + b"x" * size + b'"}\n' + GOOD, 1))
    source = Jsonl([path], max_doc_bytes=1 << 16)
    tracemalloc.start()
    try:
        documents, (bad,) = read(source, 1 << 18)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ([document["row"] for document in documents], bad.row, bad.reason) == ([0, 2], 1, "too_long")
    assert len(bad.data) == 1 << 16 and peak < size // 4


@pytest.mark.bad_input(29)
def test_a_large_document_takes_memory_and_time_in_proportion(write: Write) -> None:
    text = "Grüße aus 東京 \\ud83d\\ude00 " * 1_000
    peaks, seconds = [], []
    for times in (175, 700):
        line = f'{{"text": "{text * times}", "n": 12345678901234567890.5}}\n'.encode()
        source = Jsonl([write("x.jsonl", b'{"n": 1}\n' + line)])
        file = source.files()[0]
        _, block = source.blocks(file, 1 << 20)
        started = time.process_time()
        parsed = source.parse(block, file, 0)
        seconds.append(time.process_time() - started)
        assert parsed.documents.column("text")[0].as_py() == json.loads(f'"{text}"') * times
        tracemalloc.start()
        try:
            source.parse(block, file, 0)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert len(line) > 20 << 20
    assert peaks[1] < min(5 * peaks[0], 20 * len(line))  # four bytes a character, and twice: for a number kept exactly
    assert seconds[1] < max(10 * seconds[0], 2)


@pytest.mark.bad_input(27)
def test_hundreds_of_thousands_of_keys_are_metadata(read: Read, write: Write) -> None:
    fields = {f"k{number}": number for number in range(300_000)}
    few = {f"k{number}": number for number in range(50_000)}
    lines = [json.dumps({"text": "a", **fields}), json.dumps({"text": "b", "inner": [few]})]
    started = time.process_time()
    documents, _ = read(Jsonl([write("x.jsonl", "\n".join(lines).encode())]))
    assert time.process_time() - started < 20  # the square of so many would take hours
    assert [json.loads(each["metadata"]) for each in documents] == [fields, {"inner": [few]}]


@pytest.mark.bad_input(10)
@pytest.mark.parametrize("data", [b"", b"\n\n", b" \r\n", gzip.compress(b"", mtime=0), zstandard.compress(b"\n")])
def test_empty_files_hold_nothing_and_are_no_error(read: Read, write: Write, data: bytes) -> None:
    assert read(Jsonl([write("x.jsonl", data)])) == ([], [])


def test_a_cut_file_fails_as_a_whole(read: Read, write: Write) -> None:
    for name, data in (("x.jsonl.gz", gzip.compress(GOOD * 9)), ("x.jsonl.zst", zstandard.compress(GOOD * 9))):
        with pytest.raises(TruncatedInput, match=rf"{name}: ends after byte {len(data) - 1}"):
            read(Jsonl([write(name, data[:-1])]), 40)


def test_several_files_are_numbered_in_order(read: Read, write: Write, tmp_path: Path) -> None:
    write("b.jsonl", GOOD)
    write("a.jsonl", GOOD * 2)
    documents, _ = read(Jsonl([f"{tmp_path}/*.jsonl"]))
    assert [(document["file"], document["id"]) for document in documents] == [
        (0, "a.jsonl#0"),
        (0, "a.jsonl#1"),
        (1, "b.jsonl#0"),
    ]


def test_a_setting_that_cannot_work_is_refused_by_its_key() -> None:
    with pytest.raises(SettingError, match=r"^id_key: "):
        Jsonl(["x"], text_key="a", id_key="a")
    with pytest.raises(SettingError, match=r"^paths: "):
        Jsonl([])


def test_an_id_key_that_was_named_and_is_nowhere_is_told_once(
    read: Read, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    line = b'{"uid": "a", "text": "x"}\n'
    for number, partition_bytes in ((1500, 1 << 20), (1500, 100), (3, 1 << 20)):
        paths = [write(f"{name}.jsonl", line * number) for name in "ab"]
        read(Jsonl(paths, id_key="uids"), partition_bytes)
        said = capsys.readouterr().err
        few = "first 1,000 records" if number > 1000 else "3 records"
        assert said.count("warning: ") == 1 and f"a.jsonl: none of its {few} has the key 'uids' (corpus.id_key)" in said
        assert "called a.jsonl#0 and so on" in said and "did you mean 'uid'?" in said
    for key in ("uid", "id"):
        read(Jsonl(paths, id_key=key), 1 << 20)
        assert capsys.readouterr().err == ""


@pytest.mark.bad_input(23)
def test_a_text_inside_another_key_is_told_how_to_lift_it_out(read: Read, write: Write) -> None:
    path = write("x.jsonl", b'{"doc": {"text": "a"}}\n')
    with pytest.raises(InputError, match=r"\(good\.text_key\); .*not followed: jq -c '\.text = \.doc\.text' FILE"):
        read(Jsonl([path], text_key="doc.text").keyed("good"), 1 << 20)


def test_an_error_speaks_of_the_key_that_was_typed() -> None:
    for key, source in (("bad", Jsonl(["nix.jsonl"])), ("corpus.sources.w", Jsonl(["nix.jsonl"], source="other"))):
        with pytest.raises(InputError, match=rf"^{key}\.paths: 'nix\.jsonl' of source "):
            source.keyed(key).files()
    with pytest.raises(InputError, match=r"^corpus\.sources\.w\.paths: "):
        Several({"w": Jsonl(["nix.jsonl"])}).keyed("corpus").sources()[0].files()


@pytest.mark.bad_input(13)
@pytest.mark.parametrize("kind", [Jsonl, Csv, Text])
def test_a_web_archive_is_answered_with_its_corpus(kind: Any, read: Read, write: Write) -> None:
    path = write("x.gz", gzip.compress(b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n"))
    with pytest.raises(InputError, match=r"begins with b'WARC/1\.0.* type corpus=warc"):
        read(kind([path]), 1 << 20)
