from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.sentences import count_sentences_of, count_sentences_one
from tests.data_pipeline.clean.pieces import MARKS, texts_of


@given(texts_of(*MARKS) | st.text())
@example("...")
@example(". a")
@example("é. é. x. y")
def test_the_kernel_equals_plain_python_on_every_line(line: str) -> None:
    assert count_sentences_of(line) == count_sentences_one(line)


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        ("", 0), (" \t", 0), ("word", 1), ("One. Two! Three? Four", 4), ("One.Two costs 3.50 at a.b.org", 1),
        ('He said "no." Then (never!) he left...', 3), ("Wait... what?! No", 3), ("J. Smith, e.g. in the U.S. law.", 1),
        ("我们走。你来吗？好", 3), ("यह। वह।", 2), ("? ! .", 3), ("Mr. Smith", 2),
    ],
)  # fmt: skip
def test_sentences_are_counted_as_described(line: str, sentences: int) -> None:
    assert count_sentences_one(line) == count_sentences_of(line) == sentences
