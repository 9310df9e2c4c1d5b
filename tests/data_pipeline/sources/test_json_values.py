from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.sources.json_values import NoText, json_of, values_of

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TYPES: dict[str, tuple[pa.DataType, Any]] = {
    "text": (pa.string(), texts),
    "view": (pa.string_view(), texts),
    "integer": (pa.int64(), st.integers(-(1 << 63), (1 << 63) - 1)),
    "float": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "flag": (pa.bool_(), st.booleans()),
    "list": (pa.list_(pa.int32()), st.lists(st.none() | st.integers(0, 9), max_size=3)),
    "large": (pa.large_list(pa.string()), st.lists(texts, max_size=3)),
    "fixed": (pa.list_(pa.int32(), 2), st.lists(st.integers(0, 9), min_size=2, max_size=2)),
    "struct": (
        pa.struct({"a": pa.int32(), "b": pa.list_(pa.string())}),
        st.fixed_dictionaries({"a": st.none() | st.integers(0, 9), "b": st.none() | st.lists(texts, max_size=2)}),
    ),
    "lists": (pa.list_(pa.list_(pa.int8())), st.lists(st.none() | st.lists(st.integers(0, 9), max_size=2), max_size=3)),
}


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
def test_values_are_those_of_pyarrow_also_from_a_slice(name: str, data: st.DataObject) -> None:
    kind, strategy = TYPES[name]
    values = data.draw(st.lists(st.none() | strategy, max_size=6))
    start = data.draw(st.integers(0, len(values)))
    array = pa.array(values, kind)[start:]
    found = [json.loads(json_of({"x": value}))["x"] for value in values_of(array)]
    assert found == values[start:]


def test_a_map_is_an_object_unless_a_key_stands_twice() -> None:
    maps = pa.array([[("a", 1), ("b", None)], [("a", 1), ("a", 2)], [], None], pa.map_(pa.string(), pa.int64()))
    found = json.loads(json_of({"x": values_of(maps[0:])}))["x"]
    assert found == [{"a": 1, "b": None}, [["a", 1], ["a", 2]], {}, None]


def test_what_is_no_utf_8_is_refused_when_its_row_is_written() -> None:
    broken = pa.Array.from_buffers(pa.string(), 2, pa.array([b"a", b"\xff"]).buffers())
    good, bad = values_of(broken)
    assert json_of({"x": good}) == b'{"x":"a"}'
    with pytest.raises(NoText):
        json_of({"x": [bad]})
