from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.clean.rules import EXAMPLES, verdicts
from data_pipeline.clean.settings import measured
from data_pipeline.clean.toxicity import Toxicity, word_list
from foundation.errors import InputError, SettingError

BatchOf = Callable[..., pa.RecordBatch]


def test_the_list_of_the_package_has_the_entries_that_the_docstring_says() -> None:
    words = word_list(None)
    assert len(words.entries) == 916 and f"{len(words.entries)} entries" in (Toxicity.__doc__ or "")
    assert {"asshole", "sh!t", "blue waffle"} <= set(words.entries)


def test_the_share_of_words_is_measured_and_decides(batch_of: BatchOf) -> None:
    batch = batch_of(
        "You asshole.", "A donkey is an ass, they say, and so on and on it goes", "fine words", "", "Blow\njob"
    )
    scores = Toxicity().apply(batch).scores["toxic_words_frac"]
    np.testing.assert_array_equal(scores, [1 / 2, 1 / 14, 0.0, np.nan, 1 / 2])
    assert verdicts(Toxicity(), batch) == []
    assert [(each.position, each.reason) for each in verdicts(Toxicity(max_frac=0.1), batch)] == [
        (0, "toxic"),
        (4, "toxic"),
    ]
    assert Toxicity().apply(batch).batch is batch


def test_words_are_masked_where_that_is_asked(batch_of: BatchOf) -> None:
    rule = Toxicity(mask="***", max_frac=0.1)
    batch = batch_of("fine", "You Asshole, é sh!t", *["ass"] * 20)
    applied = rule.apply(batch)
    assert applied.batch.column("text").to_pylist() == ["fine", "You ***, é ***", *["***"] * 20]
    assert applied.changed == {"toxic_words_masked": 22} and len(applied.examples) == EXAMPLES
    assert applied.examples[0] == ("toxic_words_masked", 2, "Asshole", "***")
    np.testing.assert_array_equal(
        applied.scores["toxic_words_frac"], Toxicity().apply(batch).scores["toxic_words_frac"]
    )


def test_a_list_of_ones_own_is_read(batch_of: BatchOf, tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("\ufeff# mine\nlorem\n\nipsum  DOLOR\n", encoding="utf-8")
    rule = pickle.loads(pickle.dumps(Toxicity(str(path), mask="-")))
    assert (rule.inputs(), rule.packages()) == ([path], [])
    assert (Toxicity().inputs(), Toxicity().packages()) == ([], ["better-profanity"])
    assert rule.apply(batch_of("Lorem ipsum, ipsum dolor ass")).batch.column("text").to_pylist() == ["- ipsum, - ass"]


def test_what_only_decides_is_no_part_of_what_is_measured() -> None:
    raw = {"_target_": "data_pipeline.clean.toxicity.Toxicity", "words_path": "a", "mask": None, "max_frac": 0.1}
    assert "max_frac" not in measured(raw) and measured(raw)["words_path"] == "a"


@pytest.mark.parametrize(
    ("data", "words"), [(b"a\xff", "byte 1 is no UTF-8"), (b"# a\n \n", "no word in it"), (None, "can't be read")]
)
def test_a_list_that_can_not_be_used_is_named(
    batch_of: BatchOf, tmp_path: Path, data: bytes | None, words: str
) -> None:
    path = tmp_path / "list.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=rf"list\.txt: {words}"):
        Toxicity(str(path)).apply(batch_of("a"))
    with pytest.raises(InputError, match=rf"list\.txt: {words}"):
        Toxicity(str(path)).inputs()


@pytest.mark.parametrize("max_frac", [-0.1, 1.1])
def test_a_setting_that_can_not_work_is_refused(max_frac: Any) -> None:
    with pytest.raises(SettingError, match=r"^max_frac: .* give a share from 0 to 1, or null"):
        Toxicity(max_frac=max_frac)
