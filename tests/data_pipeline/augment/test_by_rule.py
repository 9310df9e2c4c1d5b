"""A rule of `clean` changes copies: gender swaps, and one that can't read some documents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.augment.by_rule import ByRule
from data_pipeline.clean.bias import Bias
from data_pipeline.clean.rules import Applied, Failed, Rule
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]


class Picky(Rule):
    """Can't read texts with an x, and writes the others in capitals."""

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts = batch.column("text").to_pylist()
        bad = [place for place, text in enumerate(texts) if "x" in text]
        left = batch.take(pa.array([place for place in range(len(texts)) if place not in bad], pa.int64()))
        upper = pa.array([text.upper() for text in left.column("text").to_pylist()], pa.large_string())
        left = left.set_column(3, left.schema.field("text"), upper)
        return Applied(left, failed=[Failed(place, "x") for place in bad])


def changed(rule: Rule, batch: pa.RecordBatch) -> list[str]:
    return list(ByRule(rule).change(batch, np.zeros(batch.num_rows, np.uint64)).to_pylist())


def test_the_words_of_both_genders_are_swapped(batch_of: BatchOf) -> None:
    assert changed(Bias(1.0), batch_of("He saw her mother.", "No one.")) == ["She saw his father.", "No one."]


def test_documents_that_the_rule_can_not_read_stay_as_they_are(batch_of: BatchOf) -> None:
    assert changed(Picky(), batch_of("a", "bx", "c")) == ["A", "bx", "C"]
    assert changed(Picky(), batch_of("x")) == ["x"]


def test_its_name_is_part_of_ids() -> None:
    assert list(ByRule(Bias(1.0), name="gender").changes()) == ["gender"]
    with pytest.raises(SettingError, match=r"^name: 'a#b' is not allowed; give up to 40 letters"):
        ByRule(Bias(1.0), name="a#b")
