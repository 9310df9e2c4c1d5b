"""No text makes the rules slower than its length does: four times the text takes about four times the time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hydra import compose, initialize_config_dir

from data_pipeline.clean.rules import Rule
from data_pipeline.pipeline import check_config
from foundation.config import DEFAULT_TARGETS, Node, build
from foundation.config.compose import plain

BatchOf = Callable[..., pa.RecordBatch]
CONF = Path(__file__).parents[3] / "conf"
# what is known to lead searches astray that go back: repeated to any length
HOSTILE = ["a", "a@", "a.", "a@b.", "1", "12-34 ", "+1", "(", "()", "<", "<a ", "&", "&amp;", "http://", ":", '"', "\\",
           " ", "\n", "\t\n", "deadbeef", "QUJD", "Ã©", "\u0301", "\N{WOMAN}\u200d", "語", '{"a":', "#", "*", "- ",
           "=\n", "٣", "the ", "x y. ", "\u202e"]  # fmt: skip
SIZE = 3_000  # characters of each
FLOOR_S = 0.02  # of processor time: less is noise


def built(option: str) -> Rule:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        tree = plain(compose("pipeline", ["name=x", f"clean={option}"]))
    node = check_config(tree, DEFAULT_TARGETS)["clean"]
    assert isinstance(node, Node)
    rule = build(node)
    assert isinstance(rule, Rule)
    return rule


def texts_of(size: int) -> list[str]:
    """Each repeated to a text of its own, with an end that a search hopes for, and all of them in one."""
    alone = [(piece * (size // len(piece) + 1))[:size] + "!" for piece in HOSTILE]
    return [*alone, "".join(alone)]


@pytest.mark.bad_input(30)
@pytest.mark.slow
@pytest.mark.parametrize("option", ["everything", "safety", "web", "code"])
def test_four_times_the_text_takes_about_four_times_the_time(batch_of: BatchOf, option: str) -> None:
    rule = built(option)
    small, large = batch_of(*texts_of(SIZE)), batch_of(*texts_of(4 * SIZE))
    rule.apply(small)  # compiles
    seconds = {}
    for name, batch in (("small", small), ("large", large)):
        tries = []
        for _ in range(2):
            gc.collect()
            started = time.process_time()
            rule.apply(batch)
            tries.append(time.process_time() - started)
        seconds[name] = max(min(tries), FLOOR_S)
    assert seconds["large"] < 2.5 * 4 * seconds["small"], seconds  # the square would take 16 times
