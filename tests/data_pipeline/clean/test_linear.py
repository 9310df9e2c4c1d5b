"""No text makes the rules slower than its length does: four times the text takes about four times the time."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hydra import compose, initialize_config_dir

from data_pipeline.clean.rules import Applied, NoClean, Rule
from data_pipeline.pipeline import check_config
from foundation.config import DEFAULT_TARGETS, Node, build
from foundation.config.compose import plain

BatchOf = Callable[..., pa.RecordBatch]
CONF = Path(__file__).parents[3] / "conf"
# what is known to lead searches astray that go back: repeated to any length
HOSTILE = ["a", "a@", "a.", "a@b.", "1", "12-34 ", "+1", "(", "()", "<", "<a ", "&", "&amp;", "http://", ":", '"', "\\",
           " ", "\n", "\t\n", "deadbeef", "QUJD", "Ã©", "\u0301", "\N{WOMAN}\u200d", "語", '{"a":', "#", "*", "- ",
           "=\n", "٣", "the ", "x y. ", "\u202e"]  # fmt: skip
SMALL, LARGE = 8_000, 32_000  # characters
FLOOR_S = 0.03  # of processor time for the large one: less is noise, and too little to keep anyone busy


@pytest.fixture(autouse=True)
def without_collections() -> Iterator[None]:
    """No collection of garbage falls into a measurement."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def built(option: str) -> Rule:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        tree = plain(compose("pipeline", ["name=x", f"clean={option}"]))
    node = check_config(tree, DEFAULT_TARGETS)["clean"]
    assert isinstance(node, Node)
    rule = build(node)
    assert isinstance(rule, Rule)
    return rule


def text_of(piece: str, size: int) -> str:
    """A piece repeated to any length, with an end that a search hopes for."""
    return (piece * (size // len(piece) + 1))[:size] + "!"


def seconds_of(rule: Rule, batch: pa.RecordBatch, tries: int) -> float:
    """The least processor time that the rule takes."""
    took = []
    for _ in range(tries):
        started = time.process_time()
        rule.apply(batch)
        took.append(time.process_time() - started)
    return min(took)


@pytest.mark.bad_input(30)
@pytest.mark.slow
@pytest.mark.parametrize("option", ["everything", "safety", "web", "code"])
def test_four_times_the_text_takes_about_four_times_the_time(batch_of: BatchOf, option: str) -> None:
    rule = built(option)
    rule.apply(batch_of(*(text_of(piece, 100) for piece in HOSTILE)))  # compiles
    for piece in HOSTILE:  # each alone: among the others a square would not be seen
        large, small = (batch_of(text_of(piece, size)) for size in (LARGE, SMALL))
        for tries in (1, 3):  # again, and more, only where it was too long
            took = seconds_of(rule, large, tries)
            is_linear = took < FLOOR_S or took < 9 * seconds_of(rule, small, tries)
            if is_linear:
                break
        assert is_linear, piece  # the square takes 16 times


@pytest.mark.slow
def test_a_square_among_the_linear_is_seen(batch_of: BatchOf) -> None:
    class Square(NoClean):
        def apply(self, batch: pa.RecordBatch) -> Applied:
            for text in batch.column("text").to_pylist():
                re.search("(?:@+)$", text)
            return super().apply(batch)

    large, small = (batch_of(text_of("@", size)) for size in (4_000, 1_000))
    assert seconds_of(Square(), large, 3) / seconds_of(Square(), small, 3) > 9
