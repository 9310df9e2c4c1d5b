"""The loops over tokens beside their plain forms, on random documents."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.shards.kernels import (
    add_checks,
    check_plainly,
    count_plainly,
    count_tokens,
    gather,
    lay_out,
    lay_out_plainly,
)

VOCAB_SIZE, EOT = 40, 39
Documents = list[list[int]]
documents = st.lists(st.lists(st.integers(0, EOT - 1), max_size=12), max_size=9)
dtypes = st.sampled_from([np.dtype("<u2"), np.dtype("<i4")])


def ends_of(counts: list[int]) -> np.ndarray:
    return np.cumsum([0, *counts], dtype=np.int64)


@given(documents, st.randoms(use_true_random=False), dtypes)
def test_documents_are_laid_out_in_any_order(texts: Documents, rng: np.random.Generator, dtype: np.dtype) -> None:
    order = list(range(len(texts)))
    rng.shuffle(order)  # type: ignore[arg-type]
    ids = np.array([token for text in texts for token in text], np.uint32)
    out = np.full(len(ids) + len(texts), 7, dtype)
    largest = lay_out(ids, ends_of([len(text) for text in texts]), np.array(order, np.int64), EOT, out)
    assert out.tolist() == lay_out_plainly(texts, order, EOT)
    assert largest == max(ids.tolist(), default=0)


@given(documents, st.randoms(use_true_random=False), dtypes)
def test_runs_are_gathered(texts: Documents, rng: np.random.Generator, dtype: np.dtype) -> None:
    chosen = list(range(len(texts)))
    rng.shuffle(chosen)  # type: ignore[arg-type]
    tokens = np.array([token for text in texts for token in text], dtype)
    starts, lengths = ends_of([len(text) for text in texts])[chosen], [len(texts[number]) for number in chosen]
    out = np.empty(sum(lengths), dtype)
    gather(tokens, starts, np.array(lengths, np.int32), out)
    assert out.tolist() == [token for number in chosen for token in texts[number]]


@given(st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=12), max_size=9), st.integers(0, 2**64 - 1))
def test_checksums_are_those_of_the_plain_sum(runs: list[list[int]], before: int) -> None:
    checks = np.full(len(runs), before, np.uint64)
    values = np.array([value for run in runs for value in run], np.uint32)
    add_checks(values, ends_of([len(run) for run in runs]), checks)
    assert checks.tolist() == [(before + check_plainly(run)) % 2**64 for run in runs]


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=200), st.data())
def test_a_flipped_bit_and_two_places_exchanged_change_the_checksum(run: list[int], data: st.DataObject) -> None:
    place, bit = data.draw(st.integers(0, len(run) - 1)), data.draw(st.integers(0, 31))
    flipped = [*run[:place], run[place] ^ (1 << bit), *run[place + 1 :]]
    assert check_plainly(flipped) != check_plainly(run)
    other = data.draw(st.integers(0, len(run) - 1))
    exchanged = list(run)
    exchanged[place], exchanged[other] = run[other], run[place]
    assert (check_plainly(exchanged) == check_plainly(run)) == (exchanged == run)


@given(documents, dtypes, st.lists(st.booleans(), min_size=VOCAB_SIZE, max_size=VOCAB_SIZE))
def test_tokens_are_counted(texts: Documents, dtype: np.dtype, is_blank: list[bool]) -> None:
    tokens = np.array(lay_out_plainly(texts, range(len(texts)), EOT), dtype)
    lengths, counts = np.array([len(text) + 1 for text in texts], np.int32), np.zeros(VOCAB_SIZE, np.int64)
    repeated = count_tokens(tokens, lengths, counts, np.array(is_blank, np.bool_))
    assert (counts.tolist(), repeated) == count_plainly(texts, is_blank)
