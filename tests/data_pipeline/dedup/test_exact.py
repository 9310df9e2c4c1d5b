from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.dedup.corpus import TextsInMemory
from data_pipeline.dedup.dedup import Features, clusters_of
from data_pipeline.dedup.exact import Exact, exact_duplicates, remove_exact
from data_pipeline.dedup.keep import KeepOrder
from data_pipeline.dedup.minhash import MinHash
from foundation.errors import SettingError

# few letters, so that equal texts are likely; İ, ß, ſ, Σ change under lower() in unusual ways; \x1c, \x85, \u2003 are
# white space to split(), \u200b is none
TEXTS = st.lists(st.text(st.sampled_from("aAbİßſΣς \t\n\x0b\x1c\x85\u2003\u200b"), max_size=5), max_size=30)


@given(TEXTS)
def test_removes_what_repeats_the_words_of_an_earlier_text(texts: list[str]) -> None:
    first: dict[tuple[str, ...], int] = {}
    expected = []
    for position, text in enumerate(texts):
        kept = first.setdefault(tuple(text.lower().split()), position)
        if kept != position:
            expected.append((position, kept, kept))
    cut = len(texts) // 3
    dedup = Exact()
    parts = [dedup.features(pa.array(part, pa.large_string())) for part in (texts[:cut], texts[cut:])]
    removals = dedup.exact(parts)
    assert [(r.position, r.kept, r.cluster) for r in removals] == expected
    assert {(r.reason, r.similarity) for r in removals} <= {("exact_duplicate", 1.0)}


def test_word_borders_count() -> None:
    texts = pa.array(["ab c", "a bc", "abc"], pa.large_string())
    assert not Exact().exact([Exact().features(texts)])


@pytest.mark.bad_input(43)
def test_a_million_copies_have_one_witness() -> None:
    keys = np.zeros((1_000_000, 2), np.uint64)
    duplicates, kept = exact_duplicates(keys)
    assert np.array_equal(duplicates, np.arange(1, 1_000_000))
    assert not kept.any()


def test_keys_that_share_a_half_differ() -> None:
    keys = np.array([[1, 2], [1, 3], [2, 2], [1, 2]], np.uint64)
    duplicates, kept = exact_duplicates(keys)
    assert (duplicates.tolist(), kept.tolist()) == ([3], [0])


def test_another_copy_may_stay_and_the_cluster_is_the_same() -> None:
    """Copies at 0, 2, 3 and at 1, 4; the last is preferred."""
    texts = pa.array(["a b", "c", "A b", "a  B", "C"], pa.large_string())
    removals = Exact().exact([Exact().features(texts)], -np.arange(5.0))
    assert [(r.position, r.kept, r.cluster) for r in removals] == [(0, 3, 0), (1, 4, 1), (2, 3, 0)]
    found = clusters_of(removals)
    assert (found.documents.tolist(), found.clusters.tolist()) == ([0, 1, 2, 3, 4], [0, 1, 0, 0, 1])


def test_the_earliest_stays_unless_told_otherwise() -> None:
    assert [Exact().order.keep, MinHash().order.keep] == ["first", "longest"]
    for order in (Exact(keep="newest", keep_field="date").order, MinHash(keep="newest", keep_field="date").order):
        assert order == KeepOrder("newest", "date")
    with pytest.raises(SettingError, match=r"^keep_sources: "):
        Exact(keep="source")


def test_nothing_given_nothing_removed() -> None:
    assert not Exact().exact([])
    assert not Exact().exact([Exact().features(pa.array([], pa.large_string()))])


def test_seeks_no_near_duplicates() -> None:
    features = Exact().features(pa.array(["a b c", "a b d"], pa.large_string()))
    result = Exact().near([features], TextsInMemory(["a b c", "a b d"]))
    assert (list(result.removals), result.counts) == ([], {})


@given(st.lists(st.sampled_from([0, 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]), max_size=40), st.booleans())
def test_how_many_ranges_hashes_are_looked_at_in_changes_nothing(halves: list[int], is_preferred: bool) -> None:
    hashes = np.array([[half % 3, half] for half in halves], np.uint64).reshape(-1, 2)
    cut = len(halves) // 3
    parts = [
        Features(each, np.zeros(len(each), np.int64), np.zeros((len(each), 0), np.uint32))
        for each in (hashes[:cut], hashes[cut:])
    ]
    preference = -np.arange(float(len(halves))) if is_preferred else None
    whole = remove_exact(parts, preference)
    for memory_bytes in (1000, 100):  # a few ranges; about one a document
        ranges = remove_exact(parts, preference, memory_bytes)
        for one, other in zip(whole.columns().items(), ranges.columns().items(), strict=True):
            assert one[0] == other[0] and np.array_equal(one[1], other[1])
        assert np.array_equal(whole.positions, ranges.positions)


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(SettingError, match=r"memory_bytes: 1000.*1048576 \(1 MiB\) or more"):
        Exact(memory_bytes=1000)
