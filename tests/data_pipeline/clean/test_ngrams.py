from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.clean.ngrams import Counting, Ngrams, count_one
from foundation.errors import SettingError
from tests.data_pipeline.clean.pieces import texts_of

KINDS = (Ngrams(), Ngrams(1, (), 1 << 10), Ngrams(5, (1, 3, 8), 1 << 12), Ngrams(0, (2,)), Ngrams(8, ()))
COUNTINGS = [Counting(kind) for kind in KINDS]
WEIGHTS = [np.random.default_rng(0).normal(size=kind.num_buckets).astype(np.float32) for kind in KINDS]


def array(*texts: str) -> pa.LargeStringArray:
    """A slice, so that offsets don't begin at 0."""
    return pa.array(["before …", *texts, "after …"], pa.large_string()).slice(1, len(texts))


@pytest.mark.parametrize("counting", COUNTINGS, ids=map(str, KINDS))
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(texts_of("Σ", "İ", "ΟΔΟΣ", "ẞ", "K", "A\u0307", "Σ\u0301"), max_size=4))
def test_the_kernels_equal_the_reference(counting: Counting, texts: list[str]) -> None:
    kind, weights = KINDS[COUNTINGS.index(counting)], WEIGHTS[COUNTINGS.index(counting)]
    logits = counting.logits(array(*texts), weights, 0.5)
    counted = list(counting.counts(array(*texts)))
    assert len(counted) == len(logits) == len(texts)
    for text, (buckets, counts), logit in zip(texts, counted, logits, strict=True):
        expected = count_one(text, kind)
        assert buckets.dtype == counts.dtype == np.int32 and (np.diff(buckets) > 0).all()
        assert dict(zip(buckets.tolist(), counts.tolist(), strict=True)) == expected
        total = expected.total()
        if not total:
            assert np.isnan(logit)
            continue
        terms = (float(weights[bucket]) * (count / total) ** 0.5 for bucket, count in expected.items())
        np.testing.assert_allclose(logit, 0.5 + sum(terms), rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(text=texts_of("Σ", "İ"))
def test_case_and_white_space_change_nothing(text: str) -> None:
    counting = COUNTINGS[2]
    one, other = counting.counts(array(text, "\n " + "  ".join(text.lower().split()) + "\t"))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


def test_words_pairs_and_characters_are_counted_apart() -> None:
    assert count_one("a b a b", Ngrams(1)).most_common() == [(bucket, 2) for bucket in count_one("a b", Ngrams(1))]
    assert count_one("a b a b", Ngrams(2)).total() == 4 + 3
    assert count_one("ab c", Ngrams(0, (1, 3))).total() == (4 + 3) + (2 + 1)  # " ab ", " c "
    assert not count_one("ab", Ngrams(1, ())).keys() & count_one("ab", Ngrams(0, (2,))).keys()
    assert count_one("a b", Ngrams(2)) != count_one("b a", Ngrams(2))


def test_what_is_hashed_is_what_models_of_this_version_hold_weights_of() -> None:
    """Where this fails, `linear_model.VERSION` must change: models that users have trained would be read wrongly."""
    assert count_one("Ä b Ä", Ngrams(2)) == Counter({244323: 2, 38977: 1, 126392: 1, 59551: 1})
    assert count_one("Äb", Ngrams(0, (2,), 1 << 10)) == Counter({371: 1, 586: 1, 541: 1})


def test_a_text_takes_time_in_proportion_to_its_length() -> None:
    rng = np.random.default_rng(0)
    words = np.array(["".join(map(chr, rng.integers(97, 123, 6))) for _ in range(50_000)])
    texts = [array(" ".join(rng.choice(words, size))) for size in (20_000, 800_000)]
    texts += [array("x" * 140_000), array("x" * 5_600_000)]
    weights = np.zeros(KINDS[2].num_buckets, np.float32)
    assert len(texts[1][0].as_py()) > 5_000_000
    took = [min(_seconds(COUNTINGS[2], text, weights) for _ in range(2)) for text in texts]
    assert took[1] < 40 * 4 * took[0] and took[3] < 40 * 4 * took[2]


def _seconds(counting: Counting, texts: pa.LargeStringArray, weights: np.ndarray) -> float:
    started = time.perf_counter()
    counting.logits(texts, weights, 0.0)
    return time.perf_counter() - started


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((-1,), "word_ngrams: -1"),
        ((9,), "word_ngrams: 9"),
        ((0, ()), "word_ngrams: 0 is not allowed; give 1 or more, or lengths"),
        ((2, (3, 2)), r"char_ngrams: \[3, 2\]"),
        ((2, (0,)), r"char_ngrams: \[0\]"),
        ((2, (9,)), r"char_ngrams: \[9\]"),
        ((2, (), 1000), "num_buckets: 1000"),
        ((2, (), 1 << 25), "num_buckets"),
    ],
)
def test_what_can_not_work_is_refused(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(SettingError, match=rf"^{words}"):
        Ngrams(*arguments)  # type: ignore[arg-type]
