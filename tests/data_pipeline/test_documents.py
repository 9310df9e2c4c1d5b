"""Removals in columns; the fingerprint of a set of documents: free of order, no loss or swap of keys goes unseen.

Fields of metadata are added and taken out; the others stay as they are.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.documents import (
    Removal,
    Removals,
    copy_rows,
    fingerprint,
    has_field,
    hash_pairs,
    parents_of,
    parents_of_plainly,
    with_field,
    without_field,
)

names = st.sampled_from(["a", "b", "domain", 'q"', "é"])
values = st.none() | st.integers() | st.text(max_size=4) | st.dictionaries(names, st.integers(), max_size=2)
objects = st.dictionaries(names, values, max_size=4)
KEYS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8)


def of(keys: list[tuple[int, int]]) -> int:
    return fingerprint(np.array([file for file, _ in keys], np.int32), np.array([row for _, row in keys], np.int64))


@given(KEYS, KEYS)
def test_is_the_same_for_the_same_documents_alone(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    assert (of(one) == of(other)) == (sorted(one) == sorted(other))


@given(KEYS, KEYS)
def test_disjoint_sets_add_up(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    assert of(one + other) == (of(one) + of(other)) % (1 << 128)


@given(st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1)), max_size=50))
def test_is_the_sum_of_the_hashes_one_by_one(keys: list[tuple[int, int]]) -> None:
    """Ledgers of earlier runs are held against it."""
    hashes = [xxhash.xxh3_128_intdigest(np.array(key, "<i8").tobytes()) for key in keys]
    assert of(keys) == sum(hashes) % (1 << 128)


def test_is_the_same_in_blocks() -> None:
    files, rows = np.zeros(40_000, np.int32), np.arange(40_000)
    parts = [fingerprint(files[at : at + 7_000], rows[at : at + 7_000]) for at in range(0, len(rows), 7_000)]
    assert fingerprint(files, rows) == sum(parts) % (1 << 128)


def test_columns_are_the_removals_they_stand_for() -> None:
    near = Removals("near", np.array([1, 4, 9]), 0.8, kept=np.array([0, 0, 7]), similarity=np.array([0.8, 1.0, 0.9]))
    expected = [
        Removal(1, "near", threshold=0.8, kept=0, similarity=0.8),
        Removal(4, "near", threshold=0.8, kept=0, similarity=1.0),
        Removal(9, "near", threshold=0.8, kept=7, similarity=0.9),
    ]
    assert list(near) == list(near) == expected
    assert list(near.rows(slice(1, 3))) == expected[1:]
    assert list(near.rows(np.array([2, 0]))) == [expected[2], expected[0]]
    span = Removals("cut", np.array([2]), value=np.array([3.0]), start=np.array([5]), stop=np.array([8]))
    assert list(span) == [Removal(2, "cut", value=3.0, start=5, stop=8)]
    assert not Removals("none", np.zeros(0, np.int64))


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=20))
def test_pairs_have_the_hashes_of_their_bytes(pairs: list[tuple[int, int]]) -> None:
    keys = np.array(pairs, "<u8").reshape(-1, 2)
    high, low = (half.tolist() for half in hash_pairs(keys[:, 0], keys[:, 1]))
    hashes = [above << 64 | below for above, below in zip(high, low, strict=True)]
    assert hashes == [xxhash.xxh3_128_intdigest(key.tobytes()) for key in keys]


@given(objects, names)
def test_a_field_is_added_or_taken_out(given: dict[str, Any], key: str) -> None:
    for written in (json.dumps(given), json.dumps(given, ensure_ascii=False, separators=(",", ":"))):
        rest = {name: each for name, each in given.items() if name != key}
        assert json.loads(without_field(written, key)) == rest
        assert has_field(written, key) == (key in given)
        if key not in given:
            assert without_field(written, key) == written
            assert list(json.loads(with_field(written, key, 7)).items()) == [*given.items(), (key, 7)]


@pytest.mark.parametrize("metadata", ['{"a": {"domain": 1}}', '{"a": "domain"}', '{"a":"\\"domain\\":"}', "{}"])
def test_a_field_deeper_inside_is_none(metadata: str) -> None:
    assert not has_field(metadata, "domain") and has_field(with_field(metadata, "domain", "law"), "domain")


def test_numbers_are_not_written_anew() -> None:
    metadata = '{"n":12345678901234567890123,"x":1.10}'
    assert with_field(metadata, "domain", "law") == '{"n":12345678901234567890123,"x":1.10,"domain":"law"}'
    assert without_field(with_field(metadata, "domain", 1), "domain").startswith('{"n": 12345678901234567890123,')


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=1, unique=True), st.data())
def test_the_document_of_a_copy_is_the_one_of_its_key(keys: list[tuple[int, int]], data: st.DataObject) -> None:
    copies = data.draw(st.lists(st.tuples(st.sampled_from(range(len(keys))), st.integers(1, 9)), unique=True))
    files, rows = (np.array(column, np.int64) for column in zip(*keys, strict=True))
    parents = np.array([parent for parent, _ in copies], np.int64)
    behind = [copy_rows(rows[[parent]], number) for parent, number in copies]
    all_files, all_rows = np.append(files, files[parents]), np.concatenate([rows, *behind])
    assert parents_of(all_files, all_rows, len(keys)).tolist() == parents.tolist()
    assert parents_of_plainly(all_files.tolist(), all_rows.tolist(), len(keys)) == parents.tolist()
