"""The figures of tokens: as the plain count has them, however documents are dealt into shards."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.shards.health import Tally, blank_ids, entropy_bits, health_plainly
from data_pipeline.shards.kernels import count_tokens, lay_out_plainly

VOCAB_SIZE, EOT = 30, 29
SINGLE = np.arange(VOCAB_SIZE) < 10
BLANK = np.arange(VOCAB_SIZE) % 2 == 0
Named = list[tuple[str, list[int]]]
named = st.lists(st.tuples(st.text(max_size=3), st.lists(st.integers(0, EOT - 1), max_size=40)), max_size=12)


def tally_of(documents: Named) -> Tally:
    """Return what a shard of these counts."""
    tally, lengths = Tally.empty(VOCAB_SIZE), np.array([len(tokens) + 1 for _, tokens in documents], np.int32)
    tokens = np.array(lay_out_plainly([tokens for _, tokens in documents], range(len(documents)), EOT), np.uint16)
    tally.repeated = count_tokens(tokens, lengths, tally.counts, BLANK)
    tally.add_lengths(lengths)
    if documents:
        longest = int(np.argmax(lengths))
        tally.longest = int(lengths[longest]), documents[longest][0]
    return tally


def test_white_space_is_told_by_the_bytes_behind_the_ids() -> None:
    """Half a character, a special token and an id without a token are none."""
    pieces = [b" ", b"\n\n", b" a", b"", None, "\u3000".encode(), b"\xe3\x80", b"\t "]
    assert blank_ids(pieces).tolist() == [True, True, False, False, False, True, False, True]


@given(named, st.integers(0, 12), st.sampled_from([None, 3]))
def test_shards_add_up_to_what_is_counted_plainly(documents: Named, cut: int, unknown: int | None) -> None:
    whole = Tally.empty(VOCAB_SIZE)
    for part in (documents[:cut], documents[cut:]):
        whole.add(tally_of(part))
    found = whole.health(SINGLE, unknown)
    assert asdict(found) == health_plainly(documents, SINGLE.tolist(), unknown, BLANK.tolist())


@given(st.lists(st.lists(st.integers(0, 2**40), min_size=4, max_size=4), max_size=5))
def test_the_order_of_adding_does_not_matter(parts: list[list[int]]) -> None:
    found = []
    for order in (parts, parts[::-1]):
        tally = Tally.empty(4)
        for part in order:
            tally.add(Tally(np.array(part, np.int64)))
        found.append(tally.health(np.zeros(4, bool), None))
    assert found[0] == found[1]


@pytest.mark.parametrize(("tokens", "place"), [(1, 0), (2, 1), (3, 1), (4, 2), (2**20 - 1, 19), (2**31 - 1, 30)])
def test_lengths_fall_into_powers_of_two(tokens: int, place: int) -> None:
    tally = Tally.empty(1)
    tally.add_lengths(np.array([tokens], np.int32))
    assert np.flatnonzero(tally.lengths).tolist() == [place]


def test_entropy_is_that_of_known_distributions() -> None:
    assert entropy_bits(np.full(1024, 7)) == 10
    assert entropy_bits(np.array([5, 0, 0])) == 0 == entropy_bits(np.zeros(3, np.int64))
    assert entropy_bits(np.array([2, 1, 1])) == 1.5
