from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.code import Code, code_measures, code_measures_one
from data_pipeline.clean.rules import verdicts
from foundation.errors import SettingError
from tests.data_pipeline.clean.pieces import texts_of

BatchOf = Callable[..., pa.RecordBatch]


@given(st.lists(texts_of("x = 1\n", "٣", "½", "}"), max_size=5))
@example(["", "\n", "a", "a\n", "\n\na", "ab\nc\n"])
def test_the_kernel_equals_plain_python_on_every_text(many: list[str]) -> None:
    array = pa.array(["padding…\na", *many], pa.large_string()).slice(1)
    assert code_measures(array).tolist() == [code_measures_one(text) for text in many]


@pytest.mark.parametrize(
    ("at_limit", "beyond", "reason", "value"),
    [
        ("a" * 100 + "\n" + "b" * 100 + "\n", "a" * 101 + "\n" + "b" * 100, "code_mean_line_chars", 100.5),
        ("é" * 1000 + "\n" * 40, "é" * 1001 + "\n" * 40, "code_longest_line_chars", 1001.0),
        ("a.." + ".\n", "a.." + "..\n", "code_alphanumeric", 1 / 6),
    ],
)
def test_what_reaches_a_limit_stays_and_what_is_beyond_goes(
    batch_of: BatchOf, at_limit: str, beyond: str, reason: str, value: float
) -> None:
    rule = Code(min_alphanumeric_frac=0.2)
    (found,) = verdicts(rule, batch_of(at_limit, beyond))
    assert (found.position, found.reason, found.value) == (1, reason, value)


def test_a_text_without_characters_has_no_scores_and_stays(batch_of: BatchOf) -> None:
    batch = batch_of("")
    assert all(np.isnan(column).all() for column in Code().apply(batch).scores.values())
    assert verdicts(Code(), batch) == []


@pytest.mark.parametrize(
    ("key", "value"), [("max_mean_line_chars", -1.0), ("max_line_chars", -1), ("min_alphanumeric_frac", 1.5)]
)
def test_a_setting_that_cannot_work_is_refused_by_its_key(key: str, value: Any) -> None:
    with pytest.raises(SettingError, match=rf"^{key}: "):
        Code(**{key: value})
