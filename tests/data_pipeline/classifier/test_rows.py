from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.classifier.rows import BYTES_A_ROW, BYTES_AN_NGRAM, Pool, Rows


def rows_of(hashes: list[tuple[int, int]]) -> Rows:
    """An example for each hash, whose n-grams are a function of it."""
    counted = [(np.arange(low % 5, dtype=np.int32), np.full(low % 5, high + 1, np.int32)) for high, low in hashes]
    return Rows.of(np.array(hashes, np.uint64).reshape(-1, 2), counted)


def told(rows: Rows) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    bounds = zip(rows.offsets[:-1], rows.offsets[1:], strict=True)
    spans = [(tuple(rows.buckets[a:b].tolist()), tuple(rows.counts[a:b].tolist())) for a, b in bounds]
    return [(tuple(hashed.tolist()), *span) for hashed, span in zip(rows.hashes, spans, strict=True)]


HASHES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), max_size=40)


@given(HASHES, st.randoms(use_true_random=False))
def test_rows_are_taken_and_joined_whole(hashes: list[tuple[int, int]], chance: random.Random) -> None:
    rows = rows_of(hashes)
    everything = told(rows)
    chosen = np.array([place for place in range(len(rows)) if chance.random() < 0.5], np.int64)
    assert told(rows.take(chosen)) == [everything[place] for place in chosen]
    mask = np.isin(np.arange(len(rows)), chosen)
    assert told(Rows.joined([rows.take(mask), rows.take(~mask)])) == [
        *(everything[place] for place in np.flatnonzero(mask)),
        *(everything[place] for place in np.flatnonzero(~mask)),
    ]
    assert told(Rows.joined([])) == []


@settings(max_examples=200)
@given(HASHES, st.integers(0, 600), st.randoms(use_true_random=False))
def test_a_pool_holds_the_first_by_hash_that_fit_in_whatever_order_they_come(
    hashes: list[tuple[int, int]], memory: int, chance: random.Random
) -> None:
    expected, held = [], 0
    for high, low in sorted(set(hashes)):
        held += BYTES_A_ROW + low % 5 * BYTES_AN_NGRAM
        if held > memory:
            break
        expected.append((high, low))
    shuffled = chance.sample(hashes, len(hashes))
    pool = Pool(memory)
    while shuffled:
        size = chance.randint(1, 5)
        pool.add(rows_of(shuffled[:size]))
        shuffled = shuffled[size:]
    assert told(pool.rows()) == told(rows_of(expected))
