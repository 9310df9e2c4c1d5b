"""The UTF-8 bytes behind each id of a tokenizer.json: they tell text from ids, and how many bytes a loss is of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True, slots=True)
class TokenBytes:
    """The bytes of every token.

    Attributes:
        of_id: id -> its bytes; ids may have holes.
        special: ids whose text ends or marks a document and is no part of it.
        prefix: bytes that stand before each document's text in its tokens and are no part of it: a space, or nothing.
        unknown: id of the token for what the vocabulary can't write; None where it has none.
    """

    of_id: dict[int, bytes]
    special: frozenset[int]
    prefix: bytes
    unknown: int | None

    def text_of(self, ids: Iterable[int]) -> bytes:
        """Return the UTF-8 bytes of a document's ids, without the end-of-text token."""
        return b"".join(self.of_id[index] for index in ids).removeprefix(self.prefix)

    def pieces(self, vocab_size: int) -> list[bytes | None]:
        """Return the bytes of the text behind each id: none behind special tokens; None where there is no token."""
        return [b"" if index in self.special else self.of_id.get(index) for index in range(vocab_size)]

    def single_bytes(self, vocab_size: int) -> np.ndarray:
        """Return which ids stand for one byte of text, (vocab_size,) bool."""
        return np.array([piece is not None and len(piece) == 1 for piece in self.pieces(vocab_size)], np.bool_)


def read_token_bytes(tokenizer: Tokenizer, record: dict[str, Any]) -> TokenBytes:
    """Return what is behind the ids of a byte-level or byte-fallback tokenizer.

    Args:
        tokenizer: of the file.
        record: the file's JSON.
    Raises:
        ValueError: its tokens are no bytes, says which.
    """
    added = tokenizer.get_added_tokens_decoder()
    of_id = {index: token.content.encode() for index, token in added.items()}
    own = {token: index for token, index in tokenizer.get_vocab(with_added_tokens=False).items() if index not in added}
    kinds, prefix = _decoders(record.get("decoder"))
    if kinds == ["ByteLevel"]:
        of_id |= _byte_level(own)
    elif kinds == ["ByteFallback", "Fuse"]:
        of_id |= {index: _byte_fallback(token) for token, index in own.items()}
    else:
        raise ValueError(f"its decoder is {' and '.join(kinds) or None}, not byte-level, nor byte fallback")
    special = frozenset(index for index, token in added.items() if token.special)
    return TokenBytes(of_id, special, prefix, _unknown(tokenizer, record["model"]))


def token_bytes_of(tokenizer_json: bytes) -> TokenBytes:
    """Return the same of a file's bytes; raises also what tokenizers does."""
    from tokenizers import Tokenizer  # who reads shards needs it only for this

    return read_token_bytes(Tokenizer.from_str(tokenizer_json.decode()), orjson.loads(tokenizer_json))


def byte_chars() -> list[str]:
    """Return the character that stands for each byte in a byte-level vocabulary.

    Printable Latin-1 stands for itself, the other 68 bytes for U+0100 onwards in their order.
    Source: GPT-2, src/encoder.py, bytes_to_unicode.
    """
    itself = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in itself else chr(next(others)) for byte in range(256)]


def byte_pieces() -> list[str]:
    """Return the token of each byte in a vocabulary with byte fallback."""
    return [f"<0x{byte:02X}>" for byte in range(256)]


def _decoders(decoder: dict[str, Any] | None) -> tuple[list[str], bytes]:
    """Return the kinds of a decoder's steps, and what a last step strips from the beginning."""
    steps = _steps(decoder)
    if steps and steps[-1]["type"] == "Strip":
        strip = steps.pop()
        if strip.get("stop") or len(strip["content"]) != 1:
            return [step["type"] for step in [*steps, strip]], b""
        return [step["type"] for step in steps], (strip["content"] * strip["start"]).encode()
    return [step["type"] for step in steps], b""


def _unknown(tokenizer: Tokenizer, model: dict[str, Any]) -> int | None:
    if isinstance(model.get("unk_id"), int):  # Unigram
        return int(model["unk_id"])
    token = model.get("unk_token")
    return None if token is None else tokenizer.token_to_id(token)


def _steps(decoder: dict[str, Any] | None) -> list[dict[str, Any]]:
    if decoder is None:
        return []
    if decoder["type"] != "Sequence":
        return [decoder]
    return [step for each in decoder["decoders"] for step in _steps(each)]


def _byte_level(own: dict[str, int]) -> dict[int, bytes]:
    byte_of = {char: byte for byte, char in enumerate(byte_chars())}
    pieces = {}
    for token, index in own.items():
        if not byte_of.keys() >= set(token):
            raise ValueError(f"token {token!r} is not byte-level")
        pieces[index] = bytes(byte_of[char] for char in token)
    return pieces


def _byte_fallback(token: str) -> bytes:
    match = _BYTE.fullmatch(token)
    return bytes([int(match[1], 16)]) if match else token.encode()
