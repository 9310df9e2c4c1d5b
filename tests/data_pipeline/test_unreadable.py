"""Files of other shapes than their source's: the error shows the first record and says what mends the file."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.documents import Quarantined
from data_pipeline.limits import TooManyUnreadable
from data_pipeline.losses import NothingLeft
from data_pipeline.storage import write_quarantine
from data_pipeline.unreadable import WORDS, first_unreadable

RECORDS = [{"text": f"a few words of record {number}"} for number in range(30)]
NESTED = [{"text": {"body": "words"}}] * 3


@pytest.mark.bad_input(12, 13, 20, 22, 24)
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (json.dumps(RECORDS), ["in.jsonl, line 1: it is JSON, but no object; it begins with [{", "jq -c '.[]' FILE"]),
        (json.dumps(RECORDS, indent=2), ["line 1: it is no JSON; it begins with [. ", "jq -c '.[]' FILE"]),
        (json.dumps(RECORDS[0], indent=2), ["line 1: it is no JSON; it begins with {. ", "jq -c '.' FILE"]),
        ("\r".join(map(json.dumps, RECORDS)), ["it ends its file without a line end", "tr '\\r' '\\n' <"]),
        (
            "\n".join(map(json.dumps, NESTED)),
            ["under the key of the text is no text", "jq -c '.text = .text.body' FILE"],
        ),
        ("id,text\n1,words\n", ["line 1: it is no JSON; it begins with id,text. ", "corpus=text"]),
        ("\n\n" + '{"text": "a", "text": "b"}\n' * 3, ["in.jsonl, line 3: a key stands twice in one object; it"]),
    ],
)
def test_a_file_of_another_shape_is_shown_and_what_mends_it(
    config: Callable[..., dict[str, Any]],
    go: Callable[[dict[str, Any]], object],
    tmp_path: Path,
    content: str,
    expected: list[str],
) -> None:
    (tmp_path / "in.jsonl").write_text(content, newline="")
    corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(tmp_path / "in.jsonl")]}
    with pytest.raises(NothingLeft) as raised:
        go(config(tmp_path, tmp_path / "out", corpus=corpus, decontaminate__test_sets=[]))
    quarantine = tmp_path / "out" / "quarantine" / "clean"
    for words in (*expected, f"All of them: {quarantine}."):
        assert words in str(raised.value)
    assert list(quarantine.glob("*.jsonl"))


def test_too_many_unreadable_records_show_the_first(
    made: Any, config: Callable[..., dict[str, Any]], go: Callable[[dict[str, Any]], object], tmp_path: Path
) -> None:
    file, row = min(made.bad)
    with pytest.raises(TooManyUnreadable, match=rf"first unreadable record is d.jsonl, line 25: .*{tmp_path}"):
        go(config(made.folder, tmp_path / "out", min_bad_records=1))
    assert (file, row) == ("a.jsonl", 24)  # of web; books come first


def test_each_source_has_a_first_record_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "quarantine" / "clean"
    record = Quarantined(0, 7, "utf8", b"caf\xe9 " * 50)
    files = [
        *write_quarantine(folder / "00001-00000.jsonl", "web", [("w.txt", record)]),
        *write_quarantine(folder / "00000-00000.jsonl", "books", [("b.txt", record)]),
        tmp_path / "removed" / "clean" / "00000-00000.jsonl",  # no quarantine: never opened
    ]
    assert " b.txt, byte 7: its bytes are no UTF-8; it begins with caf\\xe9 caf" in first_unreadable(files)
    assert " w.txt, byte 7" in first_unreadable(files, "web")
    assert first_unreadable(files, "none") == first_unreadable([]) == ""
    assert len(first_unreadable(files)) < 300 + len(str(folder))


def test_every_reason_of_json_lines_has_words() -> None:
    from data_pipeline.sources import jsonl

    named = str(jsonl.__doc__).partition("reasons:")[2].split("`")[1::2]
    assert len(named) == 11 and set(named) <= set(WORDS)


@pytest.mark.parametrize(
    ("reason", "data", "hint"),
    [
        ("text_type", b'{"doc": {"my text": "a b c", "n": 1}, "u": "x"}', """jq -c '.text = .doc."my text"' FILE"""),
        ("text_type", b'{"text": 5, "body": "words"}', "Another key is named by corpus.text_key=, e.g. body."),
        ("text_type", b"null", "Another key is named by corpus.text_key=."),
        ("utf8", b"caf\xe9", "Latin-1: iconv -f LATIN1 -t UTF-8 FILE"),
        ("utf8", b"\x93caf\xe9\x94", "Windows-1252: iconv -f WINDOWS-1252 -t UTF-8 FILE"),
        ("utf8", b"\x93caf\x81", "Latin-1: iconv"),  # in Windows-1252 this byte is nothing
        ("utf8", b"\xe2\x80\x9c caf\xe9", "Latin-1: iconv"),  # these bytes are a quotation mark in UTF-8
    ],
)
def test_what_mends_a_record_is_said_for_this_one(tmp_path: Path, reason: str, data: bytes, hint: str) -> None:
    record = Quarantined(0, 7, reason, data)
    said = first_unreadable(write_quarantine(tmp_path / "quarantine" / "clean" / "0.jsonl", "web", [("w", record)]))
    assert hint in said
    if "jq -c" in hint and shutil.which("jq"):
        command = said.partition("jq -c '")[2].partition("'")[0]
        made = subprocess.run(["jq", "-c", command], input=data, capture_output=True, check=True).stdout
        assert json.loads(made)["text"] == "a b c"
