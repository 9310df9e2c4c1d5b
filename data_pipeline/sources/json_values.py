"""Arrow values as JSON: what the other columns of a table become in a document's metadata. Nothing of a value is lost.

JSON knows fewer types. Dates and times become ISO 8601 text, in UTC where they have a zone; a duration the number of
its units; a decimal the number digit by digit; NaN and the infinities the texts "NaN", "Infinity", "-Infinity"; bytes
their text where they are UTF-8, else {"base64": ...}; a map with texts for keys an object, another a list of pairs.
"""

from __future__ import annotations

import base64
import math
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)
_LISTS = (pa.types.is_list, pa.types.is_large_list)
_OTHER_LISTS = (pa.types.is_fixed_size_list, pa.types.is_list_view, pa.types.is_large_list_view)
_TIMES = (pa.types.is_date, pa.types.is_time)


class NoText(Exception):
    """A value that should be text is no UTF-8."""


class _Broken:
    """Stands for such a value until its row is written."""


def json_of(record: dict[str, Any]) -> bytes:
    """Return an object of values from `values_of` as JSON.

    Raises:
        NoText: one of them is no UTF-8.
    """
    try:
        return orjson.dumps(record, default=_other)
    except orjson.JSONEncodeError as error:
        raise NoText from error


def values_of(array: pa.Array) -> list[Any]:
    """Return an array's values, made for `json_of`."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return values_of(array.storage)
    if _is_a(_TEXT, kind):
        return _texts(array)
    if pa.types.is_floating(kind):
        return [_finite(value) for value in array.to_pylist()]
    if pa.types.is_integer(kind) and not array.null_count:
        return array.to_numpy().tolist()  # type: ignore[no-any-return]
    if pa.types.is_timestamp(kind):
        return _timestamps(array)
    if _is_a(_TIMES, kind):
        return array.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_duration(kind):
        return array.cast(pa.int64()).to_pylist()  # type: ignore[no-any-return]
    return _nested(array)


def _nested(array: pa.Array) -> list[Any]:
    kind = array.type
    if pa.types.is_dictionary(kind):
        words = values_of(array.dictionary)
        return [None if index is None else words[index] for index in array.indices.to_pylist()]
    if pa.types.is_struct(kind):
        return _structs(array)
    if pa.types.is_map(kind):
        pairs = _split(array, _pairs(array))
        return [_object(each) for each in pairs] if _is_a(_TEXT, kind.key_type) else pairs
    if _is_a(_LISTS, kind):
        return _split(array, values_of(array.values))
    if _is_a(_OTHER_LISTS, kind):
        return values_of(array.cast(pa.large_list(kind.value_type)))
    if pa.types.is_run_end_encoded(kind):
        return values_of(pc.run_end_decode(array))
    return array.to_pylist()  # type: ignore[no-any-return]


def _is_a(tests: Any, kind: pa.DataType) -> bool:
    return any(test(kind) for test in tests)


def _texts(array: pa.Array) -> list[Any]:
    try:
        return array.to_numpy(zero_copy_only=False).tolist()  # type: ignore[no-any-return]
    except (UnicodeDecodeError, pa.ArrowException):
        return [_text(value) for value in array.cast(pa.large_binary()).to_pylist()]


def _text(value: bytes | None) -> Any:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return _Broken()


def _finite(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _timestamps(array: pa.Array) -> list[Any]:
    """Without a zone first: its database is not on every machine."""
    zone = "Z" if array.type.tz else ""
    texts = array.cast(pa.timestamp(array.type.unit)).cast(pa.string()).to_pylist()
    return [text and text.replace(" ", "T") + zone for text in texts]


def _structs(array: pa.StructArray) -> list[Any]:
    names = [field.name for field in array.type]
    fields = [values_of(array.field(number)) for number in range(len(names))]
    rows: list[Any] = [dict(zip(names, row, strict=True)) for row in zip(*fields, strict=True)]
    rows = rows or [{} for _ in range(len(array))]  # a struct without fields
    return [row if valid else None for row, valid in zip(rows, array.is_valid().to_pylist(), strict=True)]


def _pairs(array: pa.MapArray) -> list[Any]:
    return list(zip(values_of(array.keys), values_of(array.items), strict=True))


def _object(pairs: list[Any] | None) -> Any:
    """Return pairs with texts as an object, unless a key stands twice."""
    return pairs if pairs is None or len(dict(pairs)) < len(pairs) else dict(pairs)


def _split(array: Any, values: list[Any]) -> list[Any]:
    """Return the values inside a list array by its lists."""
    offsets = np.asarray(array.offsets).tolist()
    valid = array.is_valid().to_pylist()
    return [
        values[start:stop] if exists else None for start, stop, exists in zip(offsets, offsets[1:], valid, strict=False)
    ]


def _other(value: Any) -> Any:
    """Return what orjson does not know as something that it does."""
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    raise TypeError
