"""What stands behind the ids of a tokenizer.json: which are one byte of text, which stands for what it can't write."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson

BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")  # of vocabularies that fall back to bytes
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # SentencePiece's


def single_byte_ids(tokenizer_json: bytes, vocab_size: int) -> np.ndarray:
    """Return which ids stand for one byte of text, (vocab_size,) bool; none of the special tokens does.

    Args:
        tokenizer_json: of a byte-level vocabulary (a letter of a token is a byte), or of one in plain letters.
        vocab_size: one more than the largest id.
    """
    record = orjson.loads(tokenizer_json)
    is_byte_level = any(each.get("type") == "ByteLevel" for each in _parts(record))
    found = np.zeros(vocab_size, np.bool_)
    for token, number in _vocabulary(record):
        found[number] = len(token) == 1 if is_byte_level else _is_byte(token)
    for added in record.get("added_tokens") or []:
        found[added["id"]] = not added["special"] and len(added["content"].encode()) == 1
    return found


def unknown_id(tokenizer_json: bytes) -> int | None:
    """Return the id of the token for text that the vocabulary can't write; None where it has none."""
    record = orjson.loads(tokenizer_json)
    model = record["model"]
    if isinstance(model.get("unk_id"), int):  # Unigram
        return int(model["unk_id"])
    token = model.get("unk_token")
    return None if token is None else dict(_vocabulary(record)).get(token)


def _is_byte(token: str) -> bool:
    return bool(BYTE_TOKEN.fullmatch(token)) or token == SPACE or len(token.encode()) == 1


def _vocabulary(record: dict[str, Any]) -> list[tuple[str, int]]:
    """Return (token, id) of the model, whose vocabulary is a dict, or a list of (token, score) by id."""
    vocabulary = record["model"]["vocab"]
    if isinstance(vocabulary, dict):
        return list(vocabulary.items())
    return [(token, number) for number, (token, _) in enumerate(vocabulary)]


def _parts(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the pre-tokenizer and the decoder, and what they consist of."""
    found: list[dict[str, Any]] = []
    waiting = [record.get("pre_tokenizer"), record.get("decoder")]
    while waiting:
        part = waiting.pop()
        if part:
            found.append(part)
            waiting += [*part.get("pretokenizers", []), *part.get("decoders", [])]
    return found
