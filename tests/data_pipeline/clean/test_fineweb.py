from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.chars import SENTENCE_TERMINALS
from data_pipeline.clean.fineweb import FineWeb, line_measures, line_measures_one
from data_pipeline.clean.rules import verdicts
from foundation.errors import SettingError
from tests.data_pipeline.clean.pieces import MARKS, texts_of

BatchOf = Callable[..., pa.RecordBatch]


@given(
    st.lists(texts_of(*MARKS, "a\n", "the same line\n"), max_size=5),
    st.integers(0, 12),
    st.sampled_from([SENTENCE_TERMINALS, ("a", "…")]),
)
@example(["", "\n", "a", "a\n", "\na\n\na"], 1, SENTENCE_TERMINALS)
def test_the_kernel_equals_plain_python_on_every_text(many: list[str], short: int, marks: tuple[str, ...]) -> None:
    array = pa.array(["padding…\na", *many], pa.large_string()).slice(1)
    assert line_measures(array, short, marks)[0].tolist() == [line_measures_one(text, short, marks) for text in many]


def lines_of(*counts: tuple[str, int]) -> str:
    """Lines that begin each with a number of its own."""
    lines = [line for line, count in counts for _ in range(count)]
    return "\n".join(f"{place:03} {line}" for place, line in enumerate(lines))


LONG = "words that go on and on beyond the width of a short line"


def with_duplicate(size: int) -> str:
    """3,000 characters, newlines left out, of which a second line like another is `size`."""
    line = "x" * (size - 1) + "."
    return "\n".join([line, line, "y " * 1000 + "y" * (1000 - 2 * size - 1) + "."])


def listed(num_words: int) -> str:
    """Six newlines, and so many words."""
    return "\n".join([f"{'w' * 40}{at}." for at in range(6)] + [" ".join(["end."] * (num_words - 6))])


CASES = [
    ("fineweb_ended_lines", 3 / 25, lines_of((f"{LONG}.", 3), (LONG, 22)), lines_of((f"{LONG}.", 2), (LONG, 23))),
    ("fineweb_short_lines", 67 / 100, lines_of(("x.", 67), (f"{LONG}.", 33)), lines_of(("x.", 68), (f"{LONG}.", 32))),
    ("fineweb_duplicate_line_chars", 30 / 3000, with_duplicate(30), with_duplicate(31)),
    ("fineweb_newlines_per_word", 6 / 20, listed(20), listed(19)),
]


@pytest.mark.parametrize(("score", "limit", "at_limit", "beyond"), CASES, ids=[case[0] for case in CASES])
def test_what_reaches_a_published_limit_stays_and_what_is_beyond_goes(
    batch_of: BatchOf, score: str, limit: float, at_limit: str, beyond: str
) -> None:
    batch = batch_of(at_limit, beyond)
    values = FineWeb().apply(batch).scores[score]
    assert values[0] == limit
    assert [(each.position, each.reason) for each in verdicts(FineWeb(), batch)] == [(1, score)]


def test_ends_are_of_any_script_and_as_written(batch_of: BatchOf) -> None:
    batch = batch_of("a.\nb。\nc؟\nd\ne. \nf,")
    assert FineWeb().apply(batch).scores["fineweb_ended_lines"].tolist() == [3 / 6]
    assert FineWeb(end_marks=[",", "d"]).apply(batch).scores["fineweb_ended_lines"].tolist() == [2 / 6]


def test_texts_without_an_ended_line_may_be_left_alone(batch_of: BatchOf) -> None:
    batch = batch_of(lines_of((LONG, 9)), lines_of((LONG, 9), (f"{LONG}.", 1)))
    assert [each.position for each in verdicts(FineWeb(), batch)] == [0, 1]
    rule = FineWeb(keep_without_ended_lines=True)
    assert [each.position for each in verdicts(rule, batch)] == [1]
    assert math.isnan(rule.apply(batch).scores["fineweb_ended_lines"][0])


def test_a_text_without_a_word_has_no_scores_and_stays(batch_of: BatchOf) -> None:
    batch = batch_of("", " \n\n")
    assert all(np.isnan(column).all() for column in FineWeb().apply(batch).scores.values())
    assert verdicts(FineWeb(), batch) == []


@pytest.mark.parametrize("line", ["a", "x" * 100])
def test_ten_times_the_text_is_ten_times_the_work(line: str) -> None:
    for lines in ([line] * 20_000, [f"{line}{place}" for place in range(20_000)]):
        texts = pa.array(["\n".join(lines)], pa.large_string())
        assert line_measures(texts, 30, (".",))[1] < 3 * len(lines)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("min_ended_lines_frac", 1.1), ("max_short_lines_frac", -0.1), ("short_line_chars", -1),
        ("max_duplicate_line_chars_frac", -0.1), ("max_newlines_per_word", -1.0), ("end_marks", ["..."]),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_work_is_refused_by_its_key(key: str, value: Any) -> None:
    with pytest.raises(SettingError, match=rf"^{key}: "):
        FineWeb(**{key: value})
