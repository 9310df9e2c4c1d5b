"""Copies have their document's name and a key that leads back to it; one that is nothing new is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import orjson
import pyarrow as pa
import pytest

from data_pipeline.augment.augmentation import Change, Several
from data_pipeline.augment.copies import COPY, Copies, copies_of
from data_pipeline.augment.noise import Noise
from data_pipeline.documents import COPY_SHIFT, MOST_COPIES, SCHEMA, copy_rows, from_texts
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]


class Numbered(Change):
    """Writes the seed's parity behind a text, so that of three copies two at least are equal."""

    name = "numbered"

    def change(self, batch: pa.RecordBatch, seeds: np.ndarray) -> pa.LargeStringArray:
        texts = zip(batch.column("text").to_pylist(), (seeds % np.uint64(2)).tolist(), strict=True)
        return pa.array([text + str(parity) if text else text for text, parity in texts], pa.large_string())


class Short(Numbered):
    """Forgets a document."""

    def change(self, batch: pa.RecordBatch, seeds: np.ndarray) -> pa.LargeStringArray:
        return super().change(batch, seeds).slice(1)


def rows(made: Iterable[Copies]) -> list[dict[str, object]]:
    return [row for copies in made for row in copies.batch.to_pylist()]


def test_a_copy_says_whose_it_is(batch_of: BatchOf) -> None:
    batch = batch_of("some words here", "and more of them")
    metadata = pa.array(['{"n": 10000000000000000000001}', f'{{"{COPY}":{{"copy":9}},"a":"ä"}}'], pa.large_string())
    batch = batch.set_column(4, SCHEMA.field("metadata"), metadata)
    changes = Several({"typos": Noise(1.0, 2, 0.3), "more": Numbered(1.0, 1)}).changes()
    made = list(copies_of(changes, batch))
    assert [(each.change, each.number, each.unchanged) for each in made] == [
        ("more", 1, 0),
        ("typos", 2, 0),
        ("typos", 3, 0),
    ]
    parents = batch.to_pylist()
    for place, row in enumerate(rows(made)):
        parent, number = parents[place % 2], place // 2 + 1
        name, copy = [("more", 1), ("typos", 1), ("typos", 2)][number - 1]
        assert row["id"] == f"{parent['id']}#{name}-{copy}" and row["file"] == parent["file"]
        assert row["row"] == parent["row"] + (number << COPY_SHIFT)
        fields = orjson.loads(str(row["metadata"]))
        assert fields.pop(COPY) == {"id": parent["id"], "change": name, "copy": copy}
        assert fields == {key: each for key, each in orjson.loads(parent["metadata"]).items() if key != COPY}
    assert '{"n": 10000000000000000000001,' in str(rows(made)[0]["metadata"])  # no number is written anew


def test_what_is_nothing_new_is_counted_and_left_out(batch_of: BatchOf) -> None:
    made = list(copies_of(Numbered(1.0, 3).changes(), batch_of("", *[f"text {number}" for number in range(50)])))
    texts = [row["text"] for row in rows(made)]
    assert len(texts) == len(set(texts)) and 50 < len(texts) <= 100
    assert sum(each.unchanged for each in made) == 3 * 51 - len(texts)
    assert [each.number for each in made] == [1, 2, 3]


def test_what_becomes_of_a_document_does_not_depend_on_the_others() -> None:
    changes = Several({"noise": Noise(0.3, 2), "numbered": Numbered(0.5)}).changes()
    whole = rows(copies_of(changes, from_texts([f"the text of number {number}" for number in range(200)])))
    other = from_texts([f"the text of number {number}" for number in range(150, 50, -1)])
    found = {(row["text"], str(row["id"]).partition("#")[2]) for row in rows(copies_of(changes, other))}
    expected = {
        (row["text"], str(row["id"]).partition("#")[2])
        for row in whole
        if 50 < int(str(row["id"]).split("#")[0]) <= 150
    }
    assert found == expected and len(found) > 50


def test_examples_begin_shortly_before_the_first_change(batch_of: BatchOf) -> None:
    (made,) = copies_of(Numbered(1.0).changes(), batch_of("é" * 500, "x"))
    first, second = made.examples
    assert first.before == "é" * 80 and first.after[:-1] == first.before and first.kind == "numbered"
    assert (second.before, second.row, second.after[0]) == ("x", 2, "x")


def test_keys_of_copies_are_unique_and_lead_back() -> None:
    rows = np.array([0, 7, (1 << COPY_SHIFT) - 1], np.int64)
    keys = np.concatenate([copy_rows(rows, number) for number in (1, 2, MOST_COPIES)])
    assert len(set(keys.tolist()) | set(rows.tolist())) == 12 and (keys > 0).all()
    np.testing.assert_array_equal(keys & (1 << COPY_SHIFT) - 1, np.tile(rows, 3))
    with pytest.raises(AssertionError, match="a copy of a copy"):
        copy_rows(copy_rows(rows, 1), 1)


def test_a_change_that_gives_no_text_for_each_document_is_named(batch_of: BatchOf) -> None:
    with pytest.raises(SettingError, match=r"augment: numbered \(.*Short\): gave no LargeStringArray of 2 texts"):
        list(copies_of(Short(1.0).changes(), batch_of("a", "b")))
