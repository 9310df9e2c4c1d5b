"""Dropped sentences: as the reference drops them, at the rate asked for, never all, and paragraphs stay paragraphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.augment.lots import unit_one
from data_pipeline.augment.sentences import DroppedSentences
from foundation.errors import SettingError
from tests.data_pipeline.clean.pieces import MARKS, texts_of

BatchOf = Callable[..., pa.RecordBatch]
SEEDS = st.integers(0, 2**64 - 1)
texts = texts_of(*MARKS) | st.text(max_size=20)


def dropped(rule: DroppedSentences, batch: pa.RecordBatch, seeds: list[int]) -> list[str]:
    changed = rule.change(batch, np.array(seeds, np.uint64))
    changed.validate(full=True)
    return list(changed.to_pylist())


@given(st.lists(st.tuples(texts, SEEDS), max_size=4), st.sampled_from([0.1, 0.5, 0.95]))
@example([("\n", 0), (" a. b.\n\n c. \n", 1), ("", 2), ("。。a", 3)], 0.5)
def test_texts_become_what_the_reference_makes_of_them(
    batch_of: BatchOf, many: list[tuple[str, int]], rate: float
) -> None:
    rule = DroppedSentences(1.0, 1, rate)
    found = dropped(rule, batch_of(*[text for text, _ in many]), [seed for _, seed in many])
    assert found == [rule.change_one(text, seed) for text, seed in many]


def seed_that_drops(places: set[int], number: int) -> int:
    """Return a seed of which the sentences at these places are dropped at a rate of 0.5."""
    found = (seed for seed in range(10**5) if {p for p in range(number) if unit_one(seed, p) < 0.5} == places)
    return next(found)


@pytest.mark.parametrize(
    ("text", "num_sentences", "places", "expected"),
    [
        ("An ox. Bee is. Cow is.", 3, {1}, "An ox. Cow is."),
        ("An ox. Bee is. Cow is.", 3, {0}, "Bee is. Cow is."),
        ("An ox. Bee is. Cow is.\n", 3, {2}, "An ox. Bee is.\n"),
        ("An ox. Bee is.\n\nCow is. Dog is.", 4, {1}, "An ox.\n\nCow is. Dog is."),
        ("An ox. Bee is.\n\nCow is. Dog is.", 4, {2}, "An ox. Bee is.\n\nDog is."),
        ("An ox. Bee is.\n\nCow is. Dog is.", 4, {1, 2}, "An ox.\n\nDog is."),
        ("Heading\nBee is.\n\nCow is.", 3, {1}, "Heading\n\nCow is."),
        ("  An ox。Bee is。Cow is。", 3, {0, 1}, "  Cow is。"),
    ],
)
def test_white_space_goes_with_what_is_dropped_but_not_between_paragraphs(
    batch_of: BatchOf, text: str, num_sentences: int, places: set[int], expected: str
) -> None:
    seed = seed_that_drops(places, num_sentences)
    assert dropped(DroppedSentences(1.0, 1, 0.5), batch_of(text), [seed]) == [expected]


def test_the_rate_is_hit_in_expectation_and_one_always_stays(batch_of: BatchOf) -> None:
    """Bounds: 5 standard deviations of a binomial; of 50 sentences all go in none of 10^60 documents."""
    batch = batch_of(*["It is so. " * 50] * 400, *["It is so."] * 100)
    copies = dropped(DroppedSentences(1.0, 1, 0.1), batch, list(range(500)))
    gone = 50 * 400 - sum(copy.count("so.") for copy in copies[:400])
    assert abs(gone - 0.1 * 20_000) < 5 * (20_000 * 0.1 * 0.9) ** 0.5
    assert copies[400:] == ["It is so."] * 100


def test_a_rate_that_can_not_work_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^rate: 1\.0 is not allowed; give a share between 0 and 1"):
        DroppedSentences(rate=1.0)
