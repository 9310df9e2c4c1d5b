"""Files of other shapes than their source's: the error shows the first record and says what mends the file."""

from __future__ import annotations

import json
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
        ("\n".join(map(json.dumps, NESTED)), ["under the key of the text is no text", "corpus.text_key=", ".text |= "]),
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
