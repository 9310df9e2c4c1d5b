"""The bytes behind ids, of the decoders that keep bytes, against what tokenizers decodes; others are refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from data_pipeline.shards.token_bytes import byte_chars, byte_pieces, token_bytes_of

FALLBACK = [{"type": "ByteFallback"}, {"type": "Fuse"}]
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def over_bytes() -> bytes:
    vocab = {char: index for index, char in enumerate(byte_chars())}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<eot>"])
    return str(tokenizer.to_str()).encode()


def with_fallback(*steps: dict[str, Any]) -> bytes:
    vocab = {piece: index for index, piece in enumerate([*byte_pieces(), " ", "a", "é"])}
    record = orjson.loads(Tokenizer(models.BPE(vocab, [], byte_fallback=True)).to_str())
    return orjson.dumps({**record, "decoder": {"type": "Sequence", "decoders": list(steps)}})


@given(text=st.text())
def test_the_bytes_of_any_text_are_those_of_its_ids(text: str) -> None:
    for tokenizer_json in (over_bytes(), with_fallback(*FALLBACK)):
        behind, tokenizer = token_bytes_of(tokenizer_json), Tokenizer.from_str(tokenizer_json.decode())
        ids = tokenizer.encode(text).ids
        assert behind.text_of(ids) == text.encode()
        assert tokenizer.decode(ids) == text


def test_special_tokens_holes_and_prefixes() -> None:
    behind = token_bytes_of(over_bytes())
    assert (behind.special, behind.prefix, behind.of_id[256]) == (frozenset({256}), b"", b"<eot>")
    behind = token_bytes_of(with_fallback(*FALLBACK, STRIP))
    assert (behind.special, behind.prefix) == (frozenset(), b" ")
    assert [behind.of_id[index] for index in (0x41, 256, 258)] == [b"A", b" ", "é".encode()]
    assert behind.text_of([256, 257]) == b"a"
    assert behind.text_of([257, 256]) == b"a "


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ([], "None"),
        ([{"type": "Fuse"}], "Fuse"),
        ([*FALLBACK, {**STRIP, "stop": 1}], "ByteFallback and Fuse and Strip"),
        ([{"type": "Replace", "pattern": {"String": "_"}, "content": " "}, *FALLBACK], "Replace and ByteFallback"),
    ],
)
def test_a_decoder_that_loses_bytes_is_refused_by_name(steps: list[dict[str, Any]], found: str) -> None:
    with pytest.raises(ValueError, match=f"its decoder is {found}"):
        token_bytes_of(with_fallback(*steps))


def test_a_token_that_is_no_bytes_is_refused_by_name() -> None:
    record = orjson.loads(over_bytes())
    record["model"]["vocab"]["日本"] = 300
    with pytest.raises(ValueError, match="token '日本' is not byte-level"):
        token_bytes_of(orjson.dumps(record))
