from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.chars import fold
from data_pipeline.clean.edits import START, STOP
from data_pipeline.clean.word_table import ANY, WordTable, read_table, table_of, words_one
from data_pipeline.documents import utf8_buffers
from foundation.errors import InputError, SettingError

BatchOf = Callable[..., pa.RecordBatch]
TABLE = WordTable({ANY: {"teh": "the", "don't": "do not", "Go": "Golang", "ñu": "x", "σas": "y", "हि": "z"}}, "words")
words = st.sampled_from(["teh", "Teh", "don't", "DON’T", "go", "Go", "Ñu", "ΣΑΣ", "σas", "हि", "'teh'", "teh_", "x"])
texts = st.lists(words | st.sampled_from([" ", "-", "'", "’", "\n", "é", "."]) | st.text(max_size=2)).map("".join)


@given(st.lists(texts, max_size=4))
@example(["teh", "'don't' don''t don't'"])
def test_whole_words_are_found_as_in_plain_python(batch_of: BatchOf, many: list[str]) -> None:
    found = batch_of(*many).column("text")
    data = utf8_buffers(found)[0]
    keys = {fold(word) for word in TABLE.entries[ANY]}
    expected = [text[start:stop] for text in many for start, stop in words_one(text) if fold(text[start:stop]) in keys]
    spans = TABLE.find(found)
    assert [data[start:stop].tobytes().decode() for start, stop in spans[:, [START, STOP]].tolist()] == expected


def test_words_are_runs_of_letters_marks_and_digits() -> None:
    text = "He said 'don't', o’clock: x_1 well-read हिन्दी 3rd rock'"
    found = [text[start:stop] for start, stop in words_one(text)]
    assert found == ["He", "said", "don't", "o’clock", "x_1", "well", "read", "हिन्दी", "3rd", "rock"]


def test_what_a_table_says_goes_by_group_form_and_case() -> None:
    table = WordTable({"en": {"gift": "present", "Go": "Golang"}, "de": {"gift": "poison"}, ANY: {"go": "walk"}}, "t")
    assert table.said("gift", "en") == ("present", True)
    assert table.said("GIFT", "de") == ("poison", False)
    assert table.said("gift", "fr") is None and table.said("gift", None) is None
    assert table.said("Go", "en") == ("Golang", True) and table.said("GO", "en") == ("walk", False)


def test_tables_are_read_from_files(tmp_path: Path) -> None:
    rows = tmp_path / "a.tsv"
    rows.write_text("# wrong\tright\n\nteh\tthe\r\nwirklcih\twirklich\tde\nalot\ta lot\ten\n", encoding="utf-8")
    expected = {ANY: {"teh": "the"}, "de": {"wirklcih": "wirklich"}, "en": {"alot": "a lot"}}
    assert read_table(rows) == expected
    flat, nested = tmp_path / "b.json", tmp_path / "c.json"
    flat.write_text('{"teh": "the"}')
    nested.write_text('{"de": {"wirklcih": "wirklich"}}')
    assert read_table(flat) == {ANY: {"teh": "the"}} and read_table(nested) == {"de": {"wirklcih": "wirklich"}}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.tsv", b"teh the\n", "a.tsv, line 1: 'teh the' is no `word<tab>what to write<tab>language`; mend it"),
        ("a.tsv", b"x\ty\nx\tz\n", "a.tsv, line 2: 'x' stands above with 'y'; leave one out"),
        ("a.tsv", b"x\t\xff\n", "a.tsv: not UTF-8"),
        ("a.json", b"{", "a.json: not valid JSON"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(words)):
        read_table(tmp_path / name)
    with pytest.raises(InputError, match=r"none\.tsv: no such file; give the path of a table"):
        read_table(tmp_path / "none.tsv")


def test_entries_that_can_not_work_are_refused() -> None:
    with pytest.raises(SettingError, match=r"^words: 'two words': not one word"):
        WordTable({ANY: {"two words": "x"}}, "words")
    with pytest.raises(SettingError, match=r"^words: de: 'wort': '' is no text; give what to put in its place"):
        WordTable({"de": {"wort": ""}}, "words")
    with pytest.raises(SettingError, match=r"^words: list is not allowed; give a mapping of words"):
        table_of(["teh"], "words")
    with pytest.raises(SettingError, match=r"^words: 'teh' is no mapping as 'de' is; give one kind"):
        table_of({"de": {"a": "b"}, "teh": "the"}, "words")


@pytest.mark.bad_input(13)
def test_a_line_that_is_no_entry_is_shown_cut(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('{"text": "' + "words " * 5_000 + '"}\n')
    with pytest.raises(InputError, match=r"a\.tsv, line 1: .*…' is no `word<tab>") as raised:
        read_table(tmp_path / "a.tsv")
    assert len(str(raised.value)) < 200 + len(str(tmp_path))
