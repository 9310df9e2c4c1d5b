"""Thrift's compact protocol, as far as parquet uses it: structs into dictionaries and back, no schema needed.

A parquet file's footer and the headers of its pages are such structs. pyarrow reads them, but doesn't say where a page
lies, and can't write a footer for some of a file's pages.

Source: Apache Thrift, "Thrift Compact protocol encoding", doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

TRUE, FALSE, I8, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = range(1, 14)
_INTEGERS = (I16, I32, I64)
_FIXED_BYTES = {I8: 1, DOUBLE: 8, UUID: 16}
_MAX_DEPTH = 64  # parquet's own structs are 8 deep
_MAX_VARINT_BYTES = 10  # of 64 bits


class ThriftError(Exception):
    """The bytes are no struct, or end inside one."""


class Field(NamedTuple):
    """A value and its type.

    Attributes:
        kind: TRUE to UUID.
        value: int for I16 to I64; bool for TRUE and FALSE; bytes for BINARY and for what is copied as it stands (I8,
            DOUBLE, UUID); a Struct; `Items` for LIST and SET; for MAP (key kind, value kind, [key, value, ...]).
    """

    kind: int
    value: Any


Struct = dict[int, Field]  # by field number


class Items(NamedTuple):
    """A list's values and their type, as in `Field`."""

    kind: int
    values: list[Any]


def read_struct(data: bytes | memoryview, place: int = 0) -> tuple[Struct, int]:
    """Return the struct that begins at `place`, and the place after it.

    Raises:
        ThriftError: there is none.
    """
    reader = _Reader(data, place)
    try:
        return reader.struct(0), reader.place
    except IndexError:
        raise ThriftError(f"ends inside the struct that begins at its byte {place}") from None


def write_struct(struct: Struct) -> bytes:
    """Return a struct's bytes; what `read_struct` gave comes back as it was."""
    out = bytearray()
    _write_struct(out, struct)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes | memoryview, place: int) -> None:
        self.place = place
        self._data = data

    def struct(self, depth: int) -> Struct:
        if depth > _MAX_DEPTH:
            raise ThriftError(f"is nested deeper than {_MAX_DEPTH} levels")
        fields: Struct = {}
        number = 0
        while head := self._byte():
            kind, delta = head & 15, head >> 4
            number = number + delta if delta else self._signed()
            fields[number] = Field(kind, kind == TRUE if kind in (TRUE, FALSE) else self._value(kind, depth))
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _INTEGERS:
            return self._signed()
        if kind == BINARY:
            return self._take(self._varint())
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in (LIST, SET):
            return self._items(depth)
        if kind in _FIXED_BYTES:
            return self._take(_FIXED_BYTES[kind])
        if kind == MAP:
            return self._map(depth)
        raise ThriftError(f"has a value of the unknown type {kind}")

    def _items(self, depth: int) -> Items:
        head = self._byte()
        kind, size = head & 15, head >> 4
        return Items(kind, [self._item(kind, depth) for _ in range(self._varint() if size == 15 else size)])

    def _map(self, depth: int) -> tuple[int, int, list[Any]]:
        size = self._varint()
        if not size:
            return 0, 0, []
        head = self._byte()
        kinds = head >> 4, head & 15
        return *kinds, [self._item(kind, depth) for _ in range(size) for kind in kinds]

    def _item(self, kind: int, depth: int) -> Any:
        """Return a value that is no field: there a boolean is a byte of its own."""
        return self._byte() == TRUE if kind in (TRUE, FALSE) else self._value(kind, depth + 1)

    def _byte(self) -> int:
        value = self._data[self.place]
        self.place += 1
        return value

    def _varint(self) -> int:
        value = 0
        for number in range(_MAX_VARINT_BYTES):
            byte = self._byte()
            value |= (byte & 127) << 7 * number
            if byte < 128:
                return value
        raise ThriftError("has a number of more than 64 bits")

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self.place:
            raise IndexError
        self.place += size
        return bytes(self._data[self.place - size : self.place])


def _write_struct(out: bytearray, struct: Struct) -> None:
    before = 0
    for number, (kind, value) in sorted(struct.items()):
        if 0 < number - before < 16:
            out.append(number - before << 4 | kind)
        else:
            out.append(kind)
            _write_signed(out, number)
        if kind not in (TRUE, FALSE):
            _write_value(out, kind, value)
        before = number
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in _INTEGERS:
        _write_signed(out, value)
    elif kind == BINARY:
        _write_varint(out, len(value))
        out += value
    elif kind == STRUCT:
        _write_struct(out, value)
    elif kind in (LIST, SET):
        _write_items(out, value)
    elif kind == MAP:
        _write_map(out, *value)
    else:
        assert kind in _FIXED_BYTES, kind
        out += value


def _write_items(out: bytearray, items: Items) -> None:
    size = len(items.values)
    out.append(min(size, 15) << 4 | items.kind)
    if size >= 15:
        _write_varint(out, size)
    for value in items.values:
        _write_item(out, items.kind, value)


def _write_map(out: bytearray, key_kind: int, value_kind: int, items: list[Any]) -> None:
    _write_varint(out, len(items) // 2)
    if items:
        out.append(key_kind << 4 | value_kind)
    for number, value in enumerate(items):
        _write_item(out, value_kind if number % 2 else key_kind, value)


def _write_item(out: bytearray, kind: int, value: Any) -> None:
    if kind in (TRUE, FALSE):
        out.append(TRUE if value else FALSE)
    else:
        _write_value(out, kind, value)


def _write_varint(out: bytearray, value: int) -> None:
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _write_signed(out: bytearray, value: int) -> None:
    _write_varint(out, (value << 1) ^ (value >> 63))
