from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.dedup.sets import Sets, num_shingles, sets_at, shingle_sets

SETS = st.lists(st.lists(st.integers(0, 9), unique=True).map(sorted), max_size=8)


def sets_of(lists: list[list[int]]) -> Sets:
    hashes = np.array([value for each in lists for value in each], np.uint64)
    return Sets(hashes, np.cumsum([0, *map(len, lists)]))


def lists_of(sets: Sets) -> list[list[int]]:
    ends = zip(sets.starts[:-1].tolist(), sets.starts[1:].tolist(), strict=True)
    return [sets.hashes[start:stop].tolist() for start, stop in ends]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.text(st.sampled_from("ab \n"), max_size=30), max_size=6), st.integers(1, 4))
def test_as_many_shingles_as_the_definition_has(
    shingles_of: Callable[[str, int], set[str]], texts: list[str], ngram: int
) -> None:
    sets = shingle_sets(pa.array(texts, pa.large_string()), ngram)
    assert np.diff(sets.starts).tolist() == [len(shingles_of(text, ngram)) for text in texts]
    assert num_shingles([sets, sets]).tolist() == 2 * np.diff(sets.starts).tolist()


@given(st.lists(SETS, max_size=4), st.data())
def test_sets_at_any_places_of_any_parts(parts: list[list[list[int]]], data: st.DataObject) -> None:
    plain = [each for part in parts for each in part]
    places = data.draw(st.lists(st.integers(0, len(plain) - 1), max_size=12)) if plain else []
    found = sets_at([sets_of(part) for part in parts], np.array(places, np.int64))
    assert lists_of(found) == [plain[place] for place in places]
