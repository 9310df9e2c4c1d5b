"""What each token stands for: its bytes, whatever the tokenizer.json writes them as."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from tokenizers import Tokenizer

from data_pipeline.tokenize.checks import load, vocab_size

SPACE_SIGN = "\u2581"  # which SentencePiece writes a space as
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True, slots=True, eq=False)
class TokenTable:
    """The bytes of every token, by its id.

    Attributes:
        data: (n,) uint8, end to end.
        offsets: (vocab_size + 1,) int64; an id that no token has, or a special token, stands for no bytes.
        is_ordinary: (vocab_size,) bool: ids that text may become.
        has_prefix: whether a text is encoded as if a space stood before it.
        unknown_id: of the token for what the vocabulary can't say; -1 where there is none.
    """

    data: np.ndarray
    offsets: np.ndarray
    is_ordinary: np.ndarray
    has_prefix: bool = False
    unknown_id: int = -1

    @classmethod
    def of(cls, tokenizer_json: bytes) -> TokenTable:
        """Return the table of a tokenizer.json that passed the checks."""
        tokenizer, record = load(tokenizer_json, "tokenizer.json"), orjson.loads(tokenizer_json)
        added = tokenizer.get_added_tokens_decoder()
        special = {index for index, token in added.items() if token.special}
        plain = {index: token.content.encode() for index, token in added.items() if not token.special}
        decoders = list(_decoders(record.get("decoder") or {}))
        if any(each["type"] == "ByteLevel" for each in decoders):
            texts = _byte_level(tokenizer)
        else:
            has_sign = any(each["type"] in ("Metaspace", "Replace") for each in decoders)
            texts = _sentence_piece(tokenizer, SPACE_SIGN if has_sign else " ")
        size = vocab_size(tokenizer)
        texts = {index: text for index, text in texts.items() if index not in special} | plain
        pieces = [texts.get(index, b"") for index in range(size)]
        is_ordinary = np.zeros(size, bool)
        is_ordinary[list(texts)] = True
        offsets = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
        strips = any(each["type"] == "Strip" and each["content"] == " " and each["start"] for each in decoders)
        prepends = any(each["type"] == "Metaspace" and each.get("prepend_scheme") != "never" for each in decoders)
        data = np.frombuffer(b"".join(pieces), np.uint8)
        return cls(data, offsets, is_ordinary, strips or prepends, _unknown_id(tokenizer, record))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Bytes of each token, (vocab_size,) int64."""
        lengths: np.ndarray = np.diff(self.offsets)
        return lengths

    def bytes_of(self, index: int) -> bytes:
        """Return what a token stands for."""
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()


def byte_chars() -> dict[str, int]:
    """Return which byte each character stands for in a byte-level vocabulary.

    Bytes that print are their own Latin-1 characters, the others follow from U+0100 on. Source: GPT-2, encoder.py,
    `bytes_to_unicode` (Radford et al. 2019).
    """
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printed]
    chars = {chr(byte): byte for byte in printed}
    return chars | {chr(0x100 + place): byte for place, byte in enumerate(others)}


def _decoders(decoder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if decoder.get("type") == "Sequence":
        for each in decoder["decoders"]:
            yield from _decoders(each)
    elif decoder:
        yield decoder


def _byte_level(tokenizer: Tokenizer) -> dict[int, bytes]:
    chars = byte_chars()
    return {
        index: bytes(chars[char] for char in token) if all(char in chars for char in token) else token.encode()
        for token, index in tokenizer.get_vocab(with_added_tokens=False).items()
    }


def _sentence_piece(tokenizer: Tokenizer, sign: str) -> dict[int, bytes]:
    """Return the bytes by id; sign: what the tokens write a space as."""
    found = {}
    for token, index in tokenizer.get_vocab(with_added_tokens=False).items():
        byte = _BYTE_TOKEN.fullmatch(token)
        found[index] = bytes.fromhex(byte[1]) if byte else token.replace(sign, " ").encode()
    return found


def _unknown_id(tokenizer: Tokenizer, record: dict[str, Any]) -> int:
    model = record["model"]
    if isinstance(model.get("unk_id"), int):
        return int(model["unk_id"])
    token = model.get("unk_token")
    index = None if token is None else tokenizer.token_to_id(token)
    return -1 if index is None else int(index)
