"""Typing errors: as the reference makes them, at the rates asked for, inside words alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.augment.noise import Noise
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
SEEDS = st.integers(0, 2**64 - 1)
pieces = st.sampled_from(["a", "bc", "ß", "é", "e\u0301", "कि", "क\u200dष", "語", "𐐀", " ", "\n", "1", "_", "'", "🎉"])
texts = st.lists(pieces | st.text(max_size=3), max_size=30).map("".join)


def noised(rule: Noise, batch: pa.RecordBatch, seeds: list[int]) -> list[str]:
    changed = rule.change(batch, np.array(seeds, np.uint64))
    changed.validate(full=True)  # UTF-8
    return list(changed.to_pylist())


@given(
    st.lists(st.tuples(texts, SEEDS), max_size=4), st.sampled_from([(0.2, 0.2, 0.2), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
)
@example([("abcdef", 0), ("", 1), ("ab", 2)], (0.3, 0.3, 0.4))
def test_texts_become_what_the_reference_makes_of_them(
    batch_of: BatchOf, many: list[tuple[str, int]], rates: tuple[float, float, float]
) -> None:
    rule = Noise(1.0, 1, *map(float, rates))
    found = noised(rule, batch_of(*[text for text, _ in many]), [seed for _, seed in many])
    assert found == [rule.change_one(text, seed) for text, seed in many]


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ((1.0, 0.0, 0.0), "bcda ba a, ñb 12 e\u0301x"),
        ((0.0, 1.0, 0.0), "a a a, b 12 e\u0301x"),
        ((0.0, 0.0, 1.0), "abbccdd abb a, bññ 12 e\u0301x"),
    ],
)
def test_letters_inside_words_change_and_nothing_else(
    batch_of: BatchOf, rates: tuple[float, float, float], expected: str
) -> None:
    """The first of each word has none before it, and an accent of its own binds a letter."""
    assert noised(Noise(1.0, 1, *rates), batch_of("abcd ab a, bñ 12 e\u0301x"), [5]) == [expected]


def test_rates_are_hit_in_expectation(batch_of: BatchOf) -> None:
    """Words of ten letters that differ: nine of them are inside. Bounds: 5 standard deviations of a binomial."""
    rng = random.Random(3)
    words = ["".join(rng.sample("abcdefghijklmnopqrstuvwxyz", 10)) for _ in range(40_000)]
    batch = batch_of(*[" ".join(words[start : start + 100]) for start in range(0, 40_000, 100)])
    inside = 9 * 40_000
    texts = batch.column("text").to_pylist()
    dropped, doubled, swapped = (
        noised(Noise(1.0, 1, *rates), batch, list(range(400)))
        for rates in ((0.0, 0.02, 0.0), (0.0, 0.0, 0.02), (0.02, 0.0, 0.0))
    )
    deviation = 5 * (inside * 0.02 * 0.98) ** 0.5
    assert abs(num_chars(texts) - num_chars(dropped) - 0.02 * inside) < deviation
    assert abs(num_chars(doubled) - num_chars(texts) - 0.02 * inside) < deviation
    # a swap changes two places; two swaps in a row share one, so that three places change in place of four
    pairs = zip("".join(swapped), "".join(texts), strict=True)
    differ = sum(one != other for one, other in pairs)
    assert abs(differ - (2 * 0.02 * inside - 0.02**2 * 8 * 40_000)) < 2 * deviation


def num_chars(texts: list[str]) -> int:
    return sum(map(len, texts))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"frac": 0.0}, "frac: 0.0 is not allowed; give a share above 0"),
        ({"copies": 0}, "copies: 0 is not allowed; give a number of copies from 1 to 32,767"),
        ({"seed": -1}, "seed: -1 is not allowed"),
        ({"drop_rate": 1.5}, "drop_rate: 1.5 is not allowed; give a share from 0 to 1"),
        ({"swap_rate": 0.6, "drop_rate": 0.6}, "swap_rate: 1.2.* is not allowed; give rates that add up"),
        ({"swap_rate": 0.0, "drop_rate": 0.0, "double_rate": 0.0}, "swap_rate: 0.0 is not allowed"),
    ],
)
def test_a_setting_that_can_not_work_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=f"^{words}"):
        Noise(**settings)
