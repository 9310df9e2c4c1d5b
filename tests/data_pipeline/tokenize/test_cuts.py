"""Long texts are cut where their split cuts them anyway, of every published split, and nowhere of others."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from data_pipeline.tokenize import cuts
from data_pipeline.tokenize.bpe import ByteLevelBPE
from data_pipeline.tokenize.checks import load
from data_pipeline.tokenize.cuts import AFTER_WORD, BEFORE_SPACE, border_of, cut_text
from data_pipeline.tokenize.records import split

Changed = Callable[..., bytes]
ODD = st.text(st.sampled_from("ab1é東_'s.,!?(\n\r\t/ \u00a0\u2003\x1c\u0301👍。"), max_size=60)
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
SPLITS = {
    "gpt2": [cuts.GPT2],
    "cl100k": [cuts.CL100K],
    "cl100k of tiktoken": [cuts.CL100K_OTHERS[0]],
    "cl100k, one line end": [cuts.CL100K_OTHERS[1]],
    "qwen2": [cuts.QWEN2],
    "qwen3.5": [cuts.QWEN35],
    "o200k": [cuts.O200K],
    "nemotron": [cuts.NEMOTRON],
    "deepseek": list(cuts.DEEPSEEK),
}


def splitting(patterns: list[str]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": [*map(split, patterns), BYTES]}


@pytest.fixture(scope="module", params=SPLITS)
def known(request: pytest.FixtureRequest) -> tuple[list[str], pre_tokenizers.PreTokenizer]:
    patterns = SPLITS[request.param]
    return patterns, pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(each), "isolated") for each in patterns])


@settings(max_examples=300)
@given(text=ODD, max_chars=st.integers(1, 20))
def test_pieces_are_split_as_the_whole_is(known: Any, text: str, max_chars: int) -> None:
    """The ids of a split's parts are the same wherever they stand, so equal parts are equal ids."""
    patterns, splitter = known
    border = border_of({"normalizer": {"type": "Sequence", "normalizers": []}, "pre_tokenizer": splitting(patterns)})
    assert border == border_of({"normalizer": None, "pre_tokenizer": splitting(patterns)})
    assert border is AFTER_WORD
    pieces = list(cut_text(text, max_chars, border))
    assert "".join(pieces) == text
    parts = [part for piece in pieces if piece for part, _ in splitter.pre_tokenize_str(piece)]
    assert parts == ([part for part, _ in splitter.pre_tokenize_str(text)] if text else [])


def test_every_letter_and_digit_of_the_border_is_one_for_tokenizers() -> None:
    splitter = pre_tokenizers.Split(Regex(r"[\p{L}\p{N}]"), "removed")
    chars = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    mine = "".join(char for char in chars if re.fullmatch(r"[^\W_]", char))
    assert splitter.pre_tokenize_str(mine) == []
    assert len(mine) > 100_000


def test_words_of_sentencepiece_are_cut_before_spaces() -> None:
    words = {"normalizer": {"type": "Prepend", "prepend": " "}, "pre_tokenizer": split(cuts.WORD)}
    assert border_of(words) is BEFORE_SPACE
    assert border_of({**words, "normalizer": None}) is BEFORE_SPACE
    assert border_of({**words, "normalizer": {"type": "NFC"}}) is None
    assert border_of({**words, "pre_tokenizer": split("a b|" + cuts.WORD)}) is None
    assert list(cut_text("ab  cd e", 1, BEFORE_SPACE)) == ["ab", "  cd", " e"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, AFTER_WORD),
        ({"normalizer": {"type": "NFC"}}, None),
        ({"pre_tokenizer": None}, None),
        ({"pre_tokenizer": {**BYTES, "use_regex": True, "add_prefix_space": True}}, None),
        ({"pre_tokenizer": BYTES}, None),
        ({"pre_tokenizer": {"type": "Metaspace", "add_prefix_space": False}}, None),
        ({"pre_tokenizer": splitting(["[a-z ]+"])}, None),
        ({"pre_tokenizer": splitting([cuts.CL100K, cuts.CL100K])}, None),
    ],
)
def test_other_splits_and_changes_before_them_are_never_cut(
    trained: bytes, change: dict[str, object], expected: object
) -> None:
    assert border_of({**orjson.loads(trained), **change}) is expected


@pytest.mark.parametrize(
    ("content", "flags", "expected"),
    [("<tool>", {}, AFTER_WORD), ("  ", {}, AFTER_WORD), ("a b", {}, None), ("x", {"rstrip": True}, None)],
)
def test_an_added_token_is_never_cut(trained: bytes, content: str, flags: dict[str, bool], expected: object) -> None:
    record = orjson.loads(trained)
    token = {**record["added_tokens"][0], "id": 600, "content": content, "special": False, **flags}
    assert border_of({**record, "added_tokens": [*record["added_tokens"], token]}) is expected


def test_ids_of_the_pieces_are_those_of_the_whole(real_text: str) -> None:
    """With merges that reach over as much as they can."""
    record = orjson.loads(ByteLevelBPE(vocab_size=2000).train(iter([real_text])))
    for patterns in SPLITS.values():
        tokenizer = load(orjson.dumps({**record, "pre_tokenizer": splitting(patterns)}), "")
        found = [index for piece in cut_text(real_text, 100) for index in tokenizer.encode(piece).ids]
        assert found == tokenizer.encode(real_text).ids
