from __future__ import annotations

import io
import struct
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.sources.thrift import (
    BINARY,
    DOUBLE,
    FALSE,
    I8,
    I64,
    LIST,
    MAP,
    STRUCT,
    TRUE,
    UUID,
    Field,
    Items,
    ThriftError,
    read_struct,
    write_struct,
)

plain = (
    st.booleans().map(lambda value: Field(TRUE if value else FALSE, value))
    | st.integers(-(1 << 63), (1 << 63) - 1).map(lambda value: Field(I64, value))
    | st.binary(max_size=20).map(lambda value: Field(BINARY, value))
    | st.binary(min_size=1, max_size=1).map(lambda value: Field(I8, value))
    | st.binary(min_size=8, max_size=8).map(lambda value: Field(DOUBLE, value))
    | st.binary(min_size=16, max_size=16).map(lambda value: Field(UUID, value))
)
lists = st.lists(st.integers(-9, 9), max_size=40).map(lambda values: Field(LIST, Items(I64, values)))
flags = st.lists(st.booleans(), max_size=20).map(lambda values: Field(LIST, Items(TRUE, values)))
maps = st.lists(st.tuples(st.binary(max_size=3), st.integers(0, 9)), min_size=1, max_size=3).map(
    lambda pairs: Field(MAP, (BINARY, I64, [each for pair in pairs for each in pair]))
)
structs: Any = st.recursive(
    st.dictionaries(st.integers(1, 300), plain | lists | flags | maps, max_size=4),
    lambda inner: st.dictionaries(
        st.integers(1, 300),
        plain
        | inner.map(lambda value: Field(STRUCT, value))
        | st.lists(inner, max_size=3).map(lambda values: Field(LIST, Items(STRUCT, values))),
        max_size=4,
    ),
    max_leaves=10,
)


@given(structs)
def test_a_struct_comes_back_as_it_was(value: Any) -> None:
    data = write_struct(value)
    assert read_struct(b"xy" + data + b"z", 2) == (value, len(data) + 2)
    for cut in range(len(data)):
        with pytest.raises(ThriftError, match="ends inside"):
            read_struct(data[:cut])


def test_the_bytes_are_those_of_the_specification() -> None:
    # field 1 of type I64 with -1, field 20 (a jump of 19) of type BINARY with "ab"
    assert write_struct({1: Field(I64, -1), 20: Field(BINARY, b"ab")}) == bytes([0x16, 1, 0x08, 40, 2, 97, 98, 0])


def test_a_footer_of_another_writer_comes_back_byte_by_byte() -> None:
    table = pa.table({"text": ["a", None], "n": [[1], [2, 3]], "m": [{"a": 1.5}, None]})
    sink = io.BytesIO()
    pq.write_table(table, sink, write_page_index=True)
    data = sink.getvalue()
    size = struct.unpack("<I", data[-8:-4])[0]
    footer = data[-8 - size : -8]
    fields, end = read_struct(footer)
    assert end == size and write_struct(fields) == footer
    assert (fields[3].value, len(fields[4].value.values)) == (2, 1)  # rows, row groups


@given(st.binary(max_size=60))
def test_any_bytes_are_a_struct_or_an_error(data: bytes) -> None:
    try:
        _, end = read_struct(data)
    except ThriftError:
        return
    assert 0 < end <= len(data)


@pytest.mark.parametrize("data", [b"\x1c" * 100, b"\x1e\x00", b"\x16" + b"\xff" * 11])
def test_nesting_unknown_types_and_endless_numbers_are_errors(data: bytes) -> None:
    with pytest.raises(ThriftError):
        read_struct(data)
