from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.repetition import (
    counted_repetition,
    duplicate_n_gram_chars,
    repetition,
    repetition_one,
    top_n_gram_chars,
)
from data_pipeline.clean.repetition_kernels import (
    CHARS,
    DUPLICATE_LINE_CHARS,
    DUPLICATE_LINES,
    DUPLICATE_PARAGRAPH_CHARS,
    DUPLICATE_PARAGRAPHS,
    FIRST_N_GRAM,
    LINES,
    NUM_COLUMNS,
    PARAGRAPHS,
    TOP_N,
)
from tests.data_pipeline.clean.pieces import texts_of

words = st.lists(st.sampled_from(["a", "b", "é语", "longer_than_8_bytes", "longer_than_9_bytes"]), max_size=80)
repeated = st.builds(
    lambda parts, joint: joint.join(" ".join(part) for part in parts),
    st.lists(words, max_size=6),
    st.sampled_from(["\n", "\n\n", " \n \n", " "]),
)


@given(st.lists(texts_of("a\n", "a b\n", "one and the same line\n") | repeated, max_size=5))
@example(["", "\n", " \n\n ", "a", "a\n", "\na\n\n", "a\n\na\n\na", "a b a b a b", "x " * 40])
def test_the_kernel_equals_plain_python_on_every_text(many: list[str]) -> None:
    array = pa.array(["padding… a b a b", *many], pa.large_string()).slice(1)
    assert repetition(array).tolist() == [repetition_one(text) for text in many]


def test_no_texts_have_no_measures() -> None:
    assert repetition(pa.array([], pa.large_string())).shape == (0, NUM_COLUMNS)


def test_lines_and_paragraphs_without_a_word_are_left_out_and_part_the_others() -> None:
    measures = repetition_one("\n\na b\nc\n \na b\nc\n\n\n\t\nd\n\n\n")
    assert measures[LINES : DUPLICATE_LINE_CHARS + 1] == [5, 2, len("a b") + len("c")]
    assert measures[PARAGRAPHS : DUPLICATE_PARAGRAPH_CHARS + 1] == [3, 1, len("a b\nc")]
    assert (DUPLICATE_LINES, DUPLICATE_PARAGRAPHS) == (LINES + 1, PARAGRAPHS + 1)


def test_n_grams_are_counted_as_the_paper_and_its_readers_do() -> None:
    assert top_n_gram_chars(["a", "bc", "a", "bc", "d"], 2) == 2 * len("a bc")
    assert top_n_gram_chars(["x", "long", "a", "long", "x"], 2) == len("x long")  # none is repeated: the first
    assert top_n_gram_chars(["a"] * 4, 2) == 3 * len("a a")  # they overlap
    assert top_n_gram_chars(["a"], 2) == 0
    assert duplicate_n_gram_chars(["a", "b", "c", "a", "b", "c", "a", "b"], 3) == 3  # a word counts once
    assert duplicate_n_gram_chars(["ab", "c", "x", "a", "bc", "x"], 3) == 0  # not what they are joined to


def test_the_kernel_counts_a_long_text_as_the_reference_does() -> None:
    rng = random.Random(0)
    text = "\n".join(" ".join(f"w{int(rng.paretovariate(0.6))}" for _ in range(rng.randrange(12))) for _ in range(9000))
    (measures,) = repetition(pa.array([text], pa.large_string())).tolist()
    assert measures == repetition_one(text)
    assert all(measures[column] for column in range(CHARS, FIRST_N_GRAM + len(TOP_N) + 1))


def varied(num_words: int) -> str:
    rng = random.Random(1)
    return "".join(
        f"w{int(rng.paretovariate(0.5))}{rng.choice('    _')}{rng.choice(['', chr(10)])}" for _ in range(num_words)
    )


@pytest.mark.parametrize(
    "text_of",
    [
        varied,
        lambda size: "a " * size,
        lambda size: "a\n" * size,
        lambda size: "a\n\n" * size,
        lambda size: " ".join(map(str, range(size))),
        lambda size: "\n".join(map(str, range(size))),
        lambda size: " ".join(map(str, range(size // 2))) * 2,
        lambda size: " ".join(f"{place:08}-{place + 1:08}" for place in range(size)),
        lambda size: " ".join(f"https://example.org/{place:07}/index.html" for place in range(size)),
        lambda size: "\n".join(f"https://example.org/{place:07}/index.html" for place in range(size)),
    ],
)
def test_ten_times_the_text_is_ten_times_the_work(text_of: object) -> None:
    work = []
    for size in (20_000, 200_000):
        text = text_of(size)  # type: ignore[operator]
        probes = counted_repetition(pa.array([text], pa.large_string()))[1]
        work.append(probes / len(text))
    assert work[1] < 1.5 * work[0] + 0.01
    assert max(work) < 8  # a word and nine n-grams of two bytes a word, at the most
