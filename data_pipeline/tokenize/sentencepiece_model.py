"""Reads a SentencePiece .model: the few fields of its protobuf message that decide the ids, without protobuf.

Source: sentencepiece_model.proto and https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from data_pipeline.tokenize.errors import TokenizerError

# wire types
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT = 10  # bytes
_ANEW = "copy the file again"
Value = int | bytes
Fields = dict[int, list[Value]]  # field number -> its values, in order


class Kind(IntEnum):
    """What a piece is (SentencePiece.Type)."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """An entry of the vocabulary; its place in the list is its id.

    Attributes:
        text: with U+2581 for a space.
        score: of unigram a log probability, of BPE minus the rank of its merge.
    """

    text: str
    score: float
    kind: Kind


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """A model as trained.

    Attributes:
        pieces: the vocabulary.
        algorithm: `unigram`, `bpe`, `word` or `char`.
        byte_fallback: a character without a piece becomes its UTF-8 bytes.
        normalization: name of the rule, `identity` for none.
        has_charsmap: a table of replacements is there, whatever the name says.
        add_dummy_prefix: a space goes before each text. space_as_suffix: it goes after it instead.
        remove_extra_whitespaces: spaces at the ends, and all but one of several, are dropped.
        escape_whitespaces: spaces are U+2581 in pieces.
    """

    pieces: list[Piece]
    algorithm: str
    byte_fallback: bool
    normalization: str
    has_charsmap: bool
    add_dummy_prefix: bool
    space_as_suffix: bool
    remove_extra_whitespaces: bool
    escape_whitespaces: bool


def read_model(data: bytes, where: str) -> SentencePieceModel:
    """Parse the bytes of a .model.

    Args:
        where: the key and file that errors name.
    Raises:
        TokenizerError: it is cut, damaged or something else.
    """
    try:
        record = _fields(data)
        pieces = [_piece(_fields(_bytes(value))) for value in record.get(1, [])]
        trainer, rules = (_fields(_bytes(record[number][-1])) for number in (2, 3))
        model = SentencePieceModel(
            pieces,
            {1: "unigram", 2: "bpe", 3: "word", 4: "char"}[_int(trainer, 3, 1)],
            bool(_int(trainer, 35, 0)),
            _text(rules, 1),
            bool(_bytes(rules.get(2, [b""])[-1])),
            bool(_int(rules, 3, 1)),
            bool(_int(trainer, 24, 0)),
            bool(_int(rules, 4, 1)),
            bool(_int(rules, 5, 1)),
        )
    except KeyError as error:  # messages lie end to end: one that is cut between two of them is well formed
        raise TokenizerError(f"{where}: no SentencePiece model, or a cut one: no field {error}; {_ANEW}") from error
    except (ValueError, struct.error) as error:  # UnicodeDecodeError among them
        raise TokenizerError(f"{where}: no SentencePiece model, or a damaged one ({error}); {_ANEW}") from error
    if not pieces:
        raise TokenizerError(f"{where}: no SentencePiece model: it has no pieces; {_ANEW}")
    return model


def _piece(fields: Fields) -> Piece:
    score = struct.unpack("<f", _bytes(fields.get(2, [b"\0\0\0\0"])[-1]))[0]
    return Piece(_text(fields, 1), score, Kind(_int(fields, 3, Kind.NORMAL)))


def _fields(data: bytes) -> Fields:
    """Return the fields of one message; those that are messages stay bytes."""
    fields: Fields = {}
    for number, value in _walk(data):
        fields.setdefault(number, []).append(value)
    return fields


def _walk(data: bytes) -> Iterator[tuple[int, Value]]:
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if wire == _BYTES:
            size, place = _varint(data, place)
        elif wire in _FIXED:
            size = _FIXED[wire]
        else:
            raise ValueError(f"byte {place}: wire type {wire} of field {number} is none of this format")
        if place + size > len(data):
            raise ValueError(f"byte {place}: field {number} ends beyond the message, it was cut")
        yield number, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return the number that begins at `place`, and where it ends."""
    value = 0
    for shift, byte in enumerate(data[place : place + _MAX_VARINT]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, place + shift + 1
    raise ValueError(f"byte {place}: a number without an end, it was cut")


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError(f"a number ({value}) where bytes belong")
    return value


def _int(fields: Fields, number: int, default: int) -> int:
    value = fields.get(number, [default])[-1]
    if isinstance(value, bytes):
        raise ValueError(f"field {number} holds bytes where a number belongs")
    return value


def _text(fields: Fields, number: int) -> str:
    return _bytes(fields.get(number, [b""])[-1]).decode()
