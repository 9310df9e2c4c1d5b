"""Words put in place of others by a table: both ways, in their case, at the rate asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.augment.lots import unit_one
from data_pipeline.augment.swaps import Swaps
from data_pipeline.clean.spelling import with_case
from data_pipeline.clean.word_table import words_one
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
WORDS = {"car": "automobile", "big": "large", "huge": "large"}
words = st.sampled_from(["car", "Automobile", "BIG", "large", "huge", "cars", "é", "."])


def swapped(rule: Swaps, batch: pa.RecordBatch, seeds: list[int]) -> list[str]:
    return list(rule.change(batch, np.array(seeds, np.uint64)).to_pylist())


def test_words_are_swapped_both_ways_in_their_case(batch_of: BatchOf) -> None:
    batch = batch_of("Big Cars: a CAR, an automobile.", "A large, huge car")
    assert swapped(Swaps(WORDS), batch, [0, 0]) == ["Large Cars: a AUTOMOBILE, an car.", "A big, large automobile"]
    one_way = swapped(Swaps(WORDS, both_ways=False), batch, [0, 0])
    assert one_way == ["Large Cars: a AUTOMOBILE, an automobile.", "A large, large automobile"]


def test_the_order_of_a_table_changes_nothing(batch_of: BatchOf) -> None:
    """A stage's key knows none: of two tables that differ by it alone the second would find the first one's copies."""
    for order in (WORDS, dict(reversed(WORDS.items()))):
        assert swapped(Swaps(order), batch_of("a large, huge car"), [0]) == ["a big, large automobile"]
    for order in ({"huge": "large", "big": "large"}, {"big": "large", "huge": "large"}):
        by_domain = Swaps({"zoo": order, "art": {"sky": "air"}}, group="zoo")
        assert swapped(by_domain, batch_of("large"), [0]) == ["big"]


@given(st.lists(st.tuples(st.lists(words, max_size=8).map(" ".join), st.integers(0, 2**64 - 1)), max_size=4))
def test_each_word_found_draws_a_lot_of_its_own(batch_of: BatchOf, many: list[tuple[str, int]]) -> None:
    table = WORDS | {"automobile": "car", "large": "big"}

    def plain(text: str, seed: int) -> str:
        out, end, lots = "", 0, 0
        for start, stop in words_one(text):
            word = text[start:stop]
            if word.lower() in table:
                takes, lots = unit_one(seed, lots) < 0.5, lots + 1
                word = with_case(table[word.lower()], word) if takes else word
            out, end = out + text[end:start] + word, stop
        return out + text[end:]

    batch = batch_of(*[text for text, _ in many])
    assert swapped(Swaps(WORDS, rate=0.5), batch, [seed for _, seed in many]) == [plain(*each) for each in many]


def test_the_rate_is_hit_in_expectation(batch_of: BatchOf) -> None:
    """Bounds: 5 standard deviations of a binomial."""
    copies = swapped(Swaps(WORDS, rate=0.3, copies=2), batch_of(*["the car " * 50] * 400), list(range(400)))
    gone = sum(copy.count("automobile") for copy in copies)
    assert abs(gone - 0.3 * 20_000) < 5 * (20_000 * 0.3 * 0.7) ** 0.5


def test_entries_of_a_domain_are_for_its_documents(batch_of: BatchOf) -> None:
    batch = batch_of("a plant", "a plant", "a plant")
    metadata = pa.array(['{"about": "botany"}', '{"about": "industry"}', "{}"], pa.large_string())
    batch = batch.set_column(4, batch.schema.field("metadata"), metadata)
    table = {"botany": {"plant": "herb"}, "industry": {"plant": "factory"}}
    assert swapped(Swaps(table, group_key="about"), batch, [0] * 3) == ["a herb", "a factory", "a plant"]
    assert swapped(Swaps(table, group_key="about", group="botany"), batch, [0] * 3)[2] == "a herb"


def test_a_table_may_be_a_file(batch_of: BatchOf, tmp_path: Path) -> None:
    path = tmp_path / "words.tsv"
    path.write_text("car\tautomobile\nplant\tfactory\tindustry\n")
    rule = Swaps(path=str(path))
    assert rule.inputs() == [path] and Swaps(WORDS).inputs() == []
    assert swapped(rule, batch_of("car and automobile"), [0]) == ["automobile and car"]
    path.write_text("often\ta lot\n")
    with pytest.raises(SettingError, match=r"words\.tsv: 'often': 'a lot' is not one word.*set both_ways=false"):
        Swaps(path=str(path)).inputs()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "words: None is not allowed; give a table of words"),
        ({"words": WORDS, "path": "x"}, "words: .* is not allowed; give a table of words"),
        ({"words": {"two words": "x"}}, "words: 'two words': not one word"),
        ({"words": {"x": 3}}, "words: 'x': 3 is no text"),
        ({"words": {"often": "a lot"}}, "words: 'often': 'a lot' is not one word"),
        ({"words": WORDS, "rate": 0.0}, "rate: 0.0 is not allowed"),
        ({"words": WORDS, "copies": 2}, "copies: 2 is not allowed; give 1 where `rate` is 1"),
    ],
)
def test_a_setting_that_can_not_work_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=f"^{said}"):
        Swaps(**settings)
