from __future__ import annotations

import json
from typing import Any

import pytest

from data_pipeline.tokenize.checks import load
from data_pipeline.tokens.table import TokenTable


def test_tokens_are_their_bytes_and_special_ones_none(byte_level: bytes) -> None:
    table, tokenizer = TokenTable.of(byte_level), load(byte_level, "x")
    assert len(table) == 340 and not table.is_ordinary[0] and table.bytes_of(0) == b""
    assert table.is_ordinary[1:].all() and not table.has_prefix and table.unknown_id == -1
    for index in range(1, 340):
        text = table.bytes_of(index).decode(errors="replace")
        assert tokenizer.decode([index]) == text


def test_of_sentence_piece_blanks_and_bytes_are_read(sentence_piece: bytes) -> None:
    table = TokenTable.of(sentence_piece)
    vocab = json.loads(sentence_piece)["model"]["vocab"]
    assert table.bytes_of(vocab[" the"]) == b" the"
    assert table.bytes_of(vocab["<0xE2>"]) == b"\xe2"
    assert table.unknown_id == vocab["<unk>"] and table.has_prefix


@pytest.mark.parametrize("special", [False, True])
def test_an_added_token_stands_for_its_text_unless_it_is_special(byte_level: bytes, special: bool) -> None:
    record: dict[str, Any] = json.loads(byte_level)
    more = {"id": 345, "content": "né", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    record["added_tokens"].append({**more, "special": special})
    record["model"]["vocab"]["né"] = 345
    table = TokenTable.of(json.dumps(record).encode())
    assert len(table) == 346  # ids 340 to 344 are holes
    assert table.bytes_of(345) == (b"" if special else "né".encode())
    assert table.is_ordinary[340:].tolist() == [False] * 5 + [not special]
