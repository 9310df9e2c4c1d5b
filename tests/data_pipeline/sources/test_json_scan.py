from __future__ import annotations

import json
import re
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.sources.json_scan import (
    NESTED_KEYS,
    SAFE_DIGITS,
    START,
    STOP,
    TOP_KEYS,
    WIDE_NUMBERS,
    lossy_lines,
    scan_lines,
)

keys = st.text(alphabet='ab":\\\n{}[]1é', max_size=4)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | keys
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))
objects = st.dictionaries(keys, values, max_size=4)


def count_keys(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(count_keys, value.values()))
    return sum(map(count_keys, value)) if isinstance(value, list) else 0


@given(st.lists(objects, max_size=4), st.booleans(), st.sampled_from([(", ", ": "), (",", ":"), (" , ", "\t: ")]))
def test_keys_and_lines_are_those_that_json_finds(
    records: list[dict[str, Any]], ends_with_newline: bool, separators: tuple[str, str]
) -> None:
    lines = [json.dumps(record, ensure_ascii=False, separators=separators).encode() for record in records]
    data = b"\n".join(lines) + (b"\n" if ends_with_newline and lines else b"")
    scanned = scan_lines(data)
    assert [data[row[START] : row[STOP]] for row in scanned] == lines
    assert scanned[:, TOP_KEYS].tolist() == [len(record) for record in records]
    assert (scanned[:, TOP_KEYS] + scanned[:, NESTED_KEYS]).tolist() == [count_keys(record) for record in records]


@given(
    st.lists(st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", fullmatch=True), max_size=6)
)
def test_wide_numbers_are_those_with_many_digits_or_an_exponent(numbers: list[str]) -> None:
    data = f'{{"in a string": "12345678901234567890", "n": [{", ".join(numbers)}]}}'.encode()
    wide = [
        number for number in numbers if re.search("[eE]", number) or len(re.sub("[^0-9]", "", number)) > SAFE_DIGITS
    ]
    assert scan_lines(data)[:, WIDE_NUMBERS].tolist() == [len(wide)]


@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False).map(repr)
        | st.integers(-(10**22), 10**22).map(str)
        | st.from_regex(r"0\.[0-9]{14,20}", fullmatch=True),
        min_size=1,
        max_size=4,
    )
)
def test_a_line_that_is_not_lossy_keeps_the_value_of_every_number(numbers: list[str]) -> None:
    data = f'{{"n": [{", ".join(numbers)}]}}\n'.encode()
    if lossy_lines(data, scan_lines(data)):
        return
    written = orjson.dumps(orjson.loads(data)["n"]).decode()
    assert written == json.dumps(
        [int(n) if re.fullmatch("-?[0-9]+", n) else float(n) for n in numbers], separators=(",", ":")
    ) or ([float(n) for n in json.loads(written)] == [float(n) for n in numbers])


def test_lossy_lines_are_named() -> None:
    numbers = ["1", "0.1", "0.9411306977272034", "9223372036854775807", "1.10"]
    lost = [
        "900719925474099.3",
        "9223372036854775808",
        "1" * 40,
        "1" * 5000,
        "0.1000000000000000055511151231257827",
        "1e-400",
    ]
    data = b"\n".join(f'{{"n": {number}}}'.encode() for number in [*numbers, *lost])
    assert lossy_lines(data, scan_lines(data)) == set(range(len(numbers), len(numbers) + len(lost)))


@given(st.binary(max_size=80))
def test_any_bytes_are_scanned_into_their_lines(data: bytes) -> None:
    lines = data.split(b"\n")
    expected = lines[:-1] if not lines[-1] else lines
    assert [data[row[START] : row[STOP]] for row in scan_lines(data)] == expected


def test_a_cut_string_ends_with_its_line() -> None:
    data = b'{"a": "cut\\\n{"a": 1, "b": 2}\n'
    assert scan_lines(data)[:, TOP_KEYS].tolist() == [1, 2]
