from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokens.table import TokenTable
from data_pipeline.tokens.vocabulary import (
    RARE,
    coverage,
    is_whole,
    longest,
    most_frequent,
    rank_frequency,
    shown,
    unreachable,
)


@given(st.lists(st.integers(1, 339), max_size=300))
def test_use_is_counted_as_a_counter_does(byte_level: bytes, ids: list[int]) -> None:
    table = TokenTable.of(byte_level)
    counter = Counter(ids)
    counts = np.bincount(np.array(ids, int), minlength=340).astype(np.int64)
    found = coverage(table, counts)
    assert found.num_tokens == 339 and found.tokens == len(ids) and found.unknown == 0
    assert found.unused == 339 - len(counter)
    assert found.rare == sum(uses < RARE for uses in counter.values())
    assert found.singles == sum(len(table.bytes_of(index)) == 1 for index in ids)
    assert found.fragments == sum(not is_whole(table.bytes_of(index)) for index in ids)
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:5]
    assert [(used.index, used.uses) for used in most_frequent(table, counts, 5)] == ordered
    unused = longest(table, counts, 7, among=np.flatnonzero(counts == 0))
    expected = sorted(set(range(1, 340)) - set(ids), key=lambda index: (-len(table.bytes_of(index)), index))[:7]
    assert [used.index for used in unused] == expected
    ranks, uses = rank_frequency(counts)
    falling = sorted(counter.values(), reverse=True)
    assert [falling[rank - 1] for rank in ranks] == uses
    assert ranks[:1] + ranks[-1:] == ([1, len(falling)] if falling else [])


def test_a_token_that_the_merges_never_make_is_out_of_reach(byte_level: bytes) -> None:
    record: dict[str, Any] = json.loads(byte_level)
    assert len(unreachable(TokenTable.of(byte_level), Encoder(byte_level))) == 0
    record["model"]["vocab"] |= {"zqzq": 340, "Ġa.": 341}
    changed = json.dumps(record).encode()
    assert unreachable(TokenTable.of(changed), Encoder(changed)).tolist() == [340, 341]


def test_where_a_blank_comes_before_each_text_reach_is_not_asked(sentence_piece: bytes) -> None:
    assert len(unreachable(TokenTable.of(sentence_piece), Encoder(sentence_piece, "</s>"))) == 0


def test_white_space_broken_characters_and_repeats_are_drawn() -> None:
    assert shown(b" the\n\t") == "␣the⏎⇥"
    assert shown(b"\xe2\x80") == "<E2><80>"
    assert shown("é".encode() + b"\xff!") == "é<FF>!"
    assert shown(b" " * 64) == "␣×64"
    assert shown(b"=-" * 10 + b"x") == "=-×10x"
    assert "\x1b" not in shown(b"\x1b[31m")
