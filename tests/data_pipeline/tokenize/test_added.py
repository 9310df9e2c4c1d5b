"""Added tokens have the ids that the file says, and none hides another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.tokenize.added import lie_across, require_apart
from data_pipeline.tokenize.checks import load
from data_pipeline.tokenize.errors import TokenizerError

Changed = Callable[..., bytes]


@given(one=st.text("ab", min_size=1, max_size=5), other=st.text("ab", min_size=1, max_size=5))
def test_lie_across_is_what_laying_them_over_each_other_finds(one: str, other: str) -> None:
    """Put `other` at every place around `one` and see whether they agree where both have a character."""
    expected = False
    for shift in range(1 - len(other), len(one)):
        both = range(max(shift, 0), min(len(one), shift + len(other)))
        expected |= all(one[place] == other[place - shift] for place in both)
    assert lie_across(one, other) is expected is lie_across(other, one)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([{"content": "<a>", "id": 600}, {"content": "<a>", "id": 601}], "two added tokens have the content '<a>'"),
        ([{"content": "<a>", "id": 600}, {"content": "<b>", "id": 600}], "two added tokens have the id 600"),
        ([{"content": "<a>", "id": 700}], "'<a>' has the id 700, but tokenizers gives it 600: they follow"),
        ([{"content": "08", "id": 600}], r"'08' has the id 600, but tokenizers gives it \d+: the vocabulary's own"),
        ([{"content": "text|>", "id": 600}], r"'<\|endoftext\|>' \(special\) and 'text\|>' \(not special\) can lie"),
        ([{"content": ">>", "id": 600}], r"'<\|endoftext\|>' \(special\) and '>>' \(not special\) can lie"),
    ],
)
def test_what_is_not_what_it_says_or_hides_another_is_refused(
    changed: Changed, trained: bytes, tokens: list[dict[str, Any]], message: str
) -> None:
    first = orjson.loads(trained)["added_tokens"][0]
    odd = changed(added_tokens=[first, *({**first, "special": False, **token} for token in tokens)])
    with pytest.raises(TokenizerError, match=f"^the file: .*{message}"):
        require_apart(load(odd, "the file"), orjson.loads(odd), "the file")


def test_a_hole_into_which_an_added_token_falls_is_refused(changed: Changed, trained: bytes) -> None:
    record = orjson.loads(trained)
    first, size = record["added_tokens"][0], len(record["model"]["vocab"])
    odd = changed(
        model__vocab={**record["model"]["vocab"], "far": size + 1},
        added_tokens=[first, {**first, "id": size + 1, "content": "<pad>"}],
    )
    with pytest.raises(TokenizerError, match="'<pad>' and the vocabulary's 'far' have one id"):
        require_apart(load(odd, "x"), orjson.loads(odd), "x")


def test_ordinary_ones_may_overlap_as_runs_of_spaces_do(changed: Changed, trained: bytes) -> None:
    first = orjson.loads(trained)["added_tokens"][0]
    spaces = [{**first, "special": False, "content": " " * (2 + i), "id": 600 + i} for i in range(3)]
    fine = changed(added_tokens=[first, *spaces])
    require_apart(load(fine, "x"), orjson.loads(fine), "x")
