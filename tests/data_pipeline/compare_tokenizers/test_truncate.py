from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from data_pipeline.compare_tokenizers.truncate import sizes_of, truncate
from data_pipeline.tokenize.bpe import ByteLevelBPE
from data_pipeline.tokenize.checks import check


@pytest.mark.parametrize("size", [300, 411, 540])
def test_the_first_merges_are_the_smaller_tokenizer(other: Path, texts: list[str], size: int) -> None:
    trained = ByteLevelBPE(vocab_size=size).train(iter(texts * 3))
    found = truncate(other.read_bytes(), size - 257)
    assert (found.num_merges, found.vocab_size) == (size - 257, size)
    assert json.loads(found.tokenizer_json)["model"]["merges"] == json.loads(trained)["model"]["merges"]
    check(found.tokenizer_json, "<|endoftext|>", texts, "truncated")
    ours, theirs = (Tokenizer.from_str(each.decode()) for each in (found.tokenizer_json, trained))
    for text in texts:
        assert ours.encode(text).tokens == theirs.encode(text).tokens


def test_a_special_token_that_no_entry_is_keeps_an_id_of_its_own(other: Path) -> None:
    record = json.loads(other.read_bytes())
    del record["model"]["vocab"]["<|endoftext|>"]
    record["model"]["vocab"] = {token: index - 1 for token, index in record["model"]["vocab"].items()}
    record["added_tokens"][0]["id"] = 539
    found = truncate(json.dumps(record).encode(), 20)
    check(found.tokenizer_json, "<|endoftext|>", ["text"], "truncated")
    assert found.vocab_size == Tokenizer.from_str(found.tokenizer_json.decode()).get_vocab_size() == 277


def test_a_merge_goes_with_a_part_that_is_made_later(other: Path) -> None:
    record = json.loads(other.read_bytes())
    merges = record["model"]["merges"]
    left, right = next(pair for pair in merges[150:] if any(pair[0] == a + b for a, b in merges[50:]))
    record["model"]["merges"] = [[left, right], *(pair for pair in merges if pair != [left, right])]
    found = truncate(json.dumps(record).encode(), 20)
    check(found.tokenizer_json, "<|endoftext|>", ["text"], "truncated")
    assert json.loads(found.tokenizer_json)["model"]["merges"] == merges[:19]


def test_merges_written_as_one_text_are_read(other: Path) -> None:
    record = json.loads(other.read_bytes())
    record["model"]["merges"] = [" ".join(merge) for merge in record["model"]["merges"]]
    assert truncate(json.dumps(record).encode(), 100).vocab_size == truncate(other.read_bytes(), 100).vocab_size == 357


def test_sizes_are_powers_of_two_and_all(other: Path, small: Path) -> None:
    assert sizes_of(other.read_bytes()) == [256, 283]
    assert sizes_of(small.read_bytes()) == [43]
    assert sizes_of(b'{"model": {"type": "Unigram", "vocab": []}}') == []
