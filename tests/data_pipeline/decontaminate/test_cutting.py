from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.decontaminate.cutting import _BORDER, spans_to_cut
from data_pipeline.decontaminate.spans import Span

# what ends a sentence, written plainly; it takes n^2 steps for n dots
GOING_BACK = re.compile(
    "[.!?\u2026]+[\"'\u201d\u2019\u00bb\u203a)\\]*_]*\\s+|[\u0964\u0965\u061f\u06d4\u0589\u1362\u104b]+\\s*"
    "|[\u3002\uff01\uff1f\uff61]+[\u300d\u300f\uff09\u201d\u2019\u300b\u3009\u3011]*\\s*|\n\\s*\n"
)


def cut(text: str, *held: str) -> list[str]:
    """What is cut out of a text for the places of these parts."""
    spans = [
        (len(text[: text.index(part)].encode()), len(text[: text.index(part) + len(part)].encode())) for part in held
    ]
    return [text.encode()[start:end].decode() for start, end in spans_to_cut(text, spans)]


@pytest.mark.parametrize(
    ("text", "held", "expected"),
    [
        ("One. Two three. Four.", ["three"], ["Two three. "]),
        ("\u201cIs it?\u201d He went.", ["Is"], ["\u201cIs it?\u201d "]),
        ("One. Two\nthree. Four.", ["Two", "three"], ["Two\nthree. "]),  # a wrapped line is one sentence
        ("A title\n\nTwo three\n\nFour", ["Two"], ["Two three\n\n"]),
        ("One. Two. Three. Four.", ["Two", "Three"], ["Two. Three. "]),  # what touches is one piece
        ("One. Two. Three. Four.", ["Two", "Four"], ["Two. ", "Four."]),
        ("\u4e00\u53e5\u3002\u4e8c\u53e5\u3002\u4e09", ["\u4e8c"], ["\u4e8c\u53e5\u3002"]),
        ("No border in 3.14 at all", ["3.14"], ["No border in 3.14 at all"]),
        ("One. Two. Three.", ["e. Tw"], ["One. Two. "]),
        (
            "One. Mr. J. R. Smith of the U.S. Army, e.g. here, left. Two.",
            ["Smith"],
            ["Mr. J. R. Smith of the U.S. Army, e.g. here, left. "],
        ),
        ("One.\n2. Two three.\n3. Four.", ["three"], ["2. Two three.\n"]),
        ("It was in 1999. Then two. Three.", ["two"], ["Then two. "]),
        ("One, two, etc. and more. Three, etc. Four.", ["Three"], ["Three, etc. "]),
        ("One, two, etc. and more. Three.", ["two"], ["One, two, etc. and more. "]),
        ("**One.** _Two._ Three.", ["Two"], ["_Two._ "]),
        (
            "\u4ed6\u8bf4\uff1a\u201c\u4e00\u3002\u201d\u4e8c\u3002\u4e09",
            ["\u4e00"],
            ["\u4ed6\u8bf4\uff1a\u201c\u4e00\u3002\u201d"],
        ),
        ("\u090f\u0915\u0964 \u0926\u094b\u0964 \u0924\u0940\u0928", ["\u0926\u094b"], ["\u0926\u094b\u0964 "]),
        # a last letter behind a mark is no initial, as one with an accent is
        ("\u05d1\u05b8\u05bc\u05e8\u05b8\u05d0. Two. Three.", ["Two"], ["Two. "]),
        ("\u092f\u0939 \u0939\u0948. Two. Three.", ["Two"], ["Two. "]),
        ("Co\u0301 da\u0302\u0301u. Two by E\u0301. Smith. Three.", ["Two"], ["Two by E\u0301. Smith. "]),
        ("End of it by Mr.\n\nTwo. Three.", ["Two"], ["Two. "]),
    ],
)
def test_whole_sentences_are_cut(text: str, held: list[str], expected: list[str]) -> None:
    assert cut(text, *held) == expected


@given(st.text(st.sampled_from("aé\u4e2d.!?\u3002 \n\u201d"), min_size=1, max_size=30), st.data())
def test_pieces_hold_every_span_and_end_on_borders_of_code_points(text: str, data: st.DataObject) -> None:
    places = st.integers(0, len(text) - 1)
    pairs = [sorted((data.draw(places), data.draw(places))) for _ in range(data.draw(st.integers(1, 3)))]
    spans: list[Span] = [(len(text[:a].encode()), len(text[: b + 1].encode())) for a, b in pairs]
    pieces = spans_to_cut(text, spans)
    assert all(any(first <= start and end <= last for first, last in pieces) for start, end in spans)
    assert all(before[1] < after[0] for before, after in pairwise(pieces))
    assert all(text.encode()[first:last].decode() for first, last in pieces)


@pytest.mark.parametrize(
    "unit", [".", "!", "\u2026", ")", ".)", '?"', ".!?\u2026", "\u0964", "\u3002\u300d", "\n ", " ", ". "]
)
def test_long_runs_are_cut_in_linear_time(unit: str) -> None:
    """A million signs: with a look at the rest of the run from each of them it would take hours."""
    text = "a" + unit * (1_000_000 // len(unit)) + "b"
    begun = time.perf_counter()
    assert spans_to_cut(text, [(0, 1)])[0][0] == 0
    assert time.perf_counter() - begun < 30


@given(st.text(st.sampled_from("aM.!?\u2026)'\u3002\u300d\u0964 \n1"), max_size=30))
def test_borders_are_those_of_the_pattern_that_may_go_back(text: str) -> None:
    ends = [match.end() for match in GOING_BACK.finditer(text)]
    assert [match.end() for match in _BORDER.finditer(text)] == ends
