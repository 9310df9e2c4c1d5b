from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from data_pipeline.clean.rules import Rules
from data_pipeline.clean.spelling import Spelling, with_case
from foundation.errors import InputError, SettingError

BatchOf = Callable[..., pa.RecordBatch]


def of_languages(batch: pa.RecordBatch, *languages: str) -> pa.RecordBatch:
    metadata = pa.array([f'{{"lang": {language}}}' for language in languages], pa.large_string())
    return batch.set_column(4, batch.schema.field("metadata"), metadata)


def test_misspelt_words_are_mended_in_their_case(batch_of: BatchOf) -> None:
    rule = Spelling({"teh": "the", "dont": "don't", "javascript": "JavaScript", "Iphone": "iPhone"})
    batch = batch_of("plain", "Teh TEH teh tEh; I DONT, tehe. Iphone iphone IPHONE JAVASCRIPT Javascript javascript")
    applied = rule.apply(batch)
    mended = "The THE the the; I DON'T, tehe. iPhone iphone IPHONE JAVASCRIPT JavaScript JavaScript"
    assert applied.batch.column("text").to_pylist() == ["plain", mended]
    assert applied.changed == {"misspellings_mended": 8}
    first = applied.examples[0]
    assert (first.row, first.before[:8], first.after[:8]) == (2, "Teh TEH ", "The TEH ")
    assert not rule.apply(applied.batch).changed
    assert pickle.loads(pickle.dumps(rule)).apply(batch).batch.equals(applied.batch)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("teh", "the"), ("Teh", "The"), ("TEH", "THE"), ("tEH", "the"), ("T", "The"), ("ÉTÉ", "THE")],
)
def test_case(word: str, expected: str) -> None:
    assert with_case("the", word) == expected


def test_entries_of_a_language_are_for_its_documents(batch_of: BatchOf) -> None:
    rule = Spelling({"en": {"wich": "which"}, "de": {"wich": "wie ich"}}, language_key="lang", language="de")
    batch = of_languages(batch_of("wich", "wich", "wich", "wich"), '"en"', '"de"', '"fr"', "null")
    assert rule.apply(batch).batch.column("text").to_pylist() == ["which", "wie ich", "wich", "wie ich"]


def test_without_a_table_nothing_happens(batch_of: BatchOf) -> None:
    batch = batch_of("teh")
    assert Spelling().apply(batch).batch is batch and Spelling().inputs() == []


def test_a_table_may_be_a_file(batch_of: BatchOf, tmp_path: Path) -> None:
    path = tmp_path / "wrong.tsv"
    rule = Rules({"spelling": Spelling(path=str(path))})
    with pytest.raises(InputError, match=r"wrong\.tsv: no such file"):
        rule.inputs()
    path.write_text("teh\tthe\n")
    assert rule.inputs() == [path]
    assert rule.apply(batch_of("teh")).batch.column("text").to_pylist() == ["the"]
    with pytest.raises(SettingError, match=r"^path: 'a' is not allowed; give null where the config holds the table"):
        Spelling({"teh": "the"}, path="a")
    with pytest.raises(SettingError, match=r"^words: 'a b': not one word"):
        Spelling({"a b": "c"})
