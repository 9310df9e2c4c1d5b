from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from data_pipeline.classifier.labels import Labels
from data_pipeline.documents import from_texts
from foundation.errors import InputError, SettingError


def records(*metadata: Any) -> pa.RecordBatch:
    batch = from_texts(["x"] * len(metadata))
    column = pa.array([orjson.dumps(each).decode() for each in metadata], pa.large_string())
    return batch.set_column(batch.schema.get_field_index("metadata"), batch.schema.field("metadata"), column)


@pytest.mark.parametrize(
    ("labels", "values", "expected"),
    [
        (Labels(), [None, "toxic", "spam", None], [0, 1, 1, 0]),
        (Labels("label", ["1", "true"]), [0, 1, True, False, "1", None, 1.0], [0, 1, 1, 0, 1, 0, 0]),
        (Labels("label", ["bad", "worse"]), ["good", "bad", "worse"], [0, 1, 1]),
    ],
)
def test_a_record_says_its_class(labels: Labels, values: list[Any], expected: list[int]) -> None:
    key = "reason" if labels._bad is None else "label"
    found = labels.of(records(*({key: value, "other": 1} for value in values)), {0: "a.jsonl"}, Counter())
    assert found.tolist() == expected and found.dtype == np.int8


def test_a_record_that_says_nothing_is_named() -> None:
    with pytest.raises(InputError, match=r"^a\.jsonl, record 1 from 0: no field 'reason'; label_key= names the field"):
        Labels().of(records({"reason": None}, {"label": 1}), {0: "a.jsonl"}, Counter())
    with pytest.raises(InputError, match=r"record 0 from 0: reason is 1, neither null .* bad_labels='\[\"1\"\]'"):
        Labels().of(records({"reason": 1}), {0: "a.jsonl"}, Counter())


def test_what_can_not_work_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^label_key: ''"):
        Labels("")
    with pytest.raises(SettingError, match=r"^bad_labels: \[\]"):
        Labels("x", [])


def test_a_label_that_no_record_has_is_refused_with_those_that_are_there() -> None:
    labels, met = Labels("label", ["toxix", "1"]), Counter[str]()
    labels.of(records({"label": "toxic"}, {"label": None}, {"label": 1}), {0: "a.jsonl"}, met)
    with pytest.raises(InputError, match=r"^bad_labels: .*'toxix' in its field 'label'.*seen: 1, null, toxic, did you"):
        labels.check_met(met)
    labels.check_met(Counter())  # no source whose records say their class
    Labels("label", ["1"]).check_met(met)
    Labels("label").check_met(met)


def test_labels_that_are_counted_are_few_and_those_of_the_bad_are_among_them() -> None:
    labels, met = Labels("label", ["last"]), Counter[str]()
    labels.of(records(*({"label": f"text {place}"} for place in range(1500)), {"label": "last"}), {0: "a"}, met)
    assert len(met) == 1001 and met["last"] == 1
    labels.check_met(met)
