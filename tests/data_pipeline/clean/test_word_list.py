from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.edits import edited
from data_pipeline.clean.word_list import Found, WordList, find_in, find_in_one

BatchOf = Callable[..., pa.RecordBatch]
ENTRIES = ("ass", "ass hat", "hat", "sh!t", "s.o.b.", "b.", "été", "two  three four", "*x", "ßa", "語", "ſ", "+")
WORDS = WordList.of(ENTRIES)

pieces = st.sampled_from(
    [*ENTRIES, "ASS", "Hat", "Été", "S.O.B.", " ", "\n", "\u3000 ", "_", "é", "İ", "ẞ", "two", "three", "four"]
)
texts = st.lists(pieces | st.text(max_size=3), max_size=12).map("".join)


def found_in(batch: pa.RecordBatch, words: WordList) -> list[list[tuple[int, int, int]]]:
    found = find_in(batch.column("text"), words)
    of_text: list[list[tuple[int, int, int]]] = [[] for _ in range(batch.num_rows)]
    for text, start, stop, entry in zip(found.texts, found.starts, found.stops, found.entries, strict=True):
        of_text[text].append((int(start), int(stop), int(entry)))
    return of_text


@given(st.lists(texts, max_size=5))
@example(
    ["ass hat", "ass\n \u3000hat", "ass hats", "passhat", "ass_", "İass", "two three  four", "s.o.b.c", "*xx", "a*x"]
)
def test_entries_stand_where_plain_python_finds_them(batch_of: BatchOf, many: list[str]) -> None:
    expected = [
        [
            (len(text[:start].encode()), len(text[:stop].encode()), entry)
            for start, stop, entry in find_in_one(text, WORDS)
        ]
        for text in many
    ]
    assert found_in(batch_of(*many), WORDS) == expected


@given(st.lists(st.text("ab_ .", min_size=1, max_size=4), max_size=6), st.text("ab_ .B", max_size=30))
def test_any_list_is_found_as_plain_python_finds_it(batch_of: BatchOf, entries: list[str], text: str) -> None:
    words = WordList.of(entries)
    assert found_in(batch_of(text), words) == [find_in_one(text, words)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("An ASS hat.", ["ASS hat"]),
        ("pass, hatter, assé", []),
        ("(sh!t) SH!T? xsh!t", ["sh!t", "SH!T"]),
        ("Two\nthree \t four", ["Two\nthree \t four"]),
        ("S.O.B.", ["S.O.B."]),
        ("ÉTÉ été", ["ÉTÉ", "été"]),
    ],
)
def test_whole_words_are_found_in_any_case(batch_of: BatchOf, text: str, expected: list[str]) -> None:
    assert [text.encode()[start:stop].decode() for start, stop, _ in found_in(batch_of(text), WORDS)[0]] == expected


def test_an_entry_is_kept_once_and_folded() -> None:
    assert WordList.of(["B  c", "a", "b C", " ", "A"]).entries == ("b c", "a")


@pytest.mark.timeout(60)
def test_no_text_makes_it_slow(batch_of: BatchOf) -> None:
    size = 4_000_000
    texts = [
        "ass " * (size // 4),
        "two" + " " * size + "three",
        "*" * size,
        "ass" + "\n" * size,
        "two three " * (size // 10),
    ]
    assert [len(found) for found in found_in(batch_of(*texts), WORDS)] == [size // 4, 0, 0, 1, 0]


cuts = st.lists(st.integers(0, 12), max_size=8).map(sorted)


@given(
    st.lists(st.tuples(st.text(max_size=12), cuts), max_size=5), st.lists(st.text(max_size=3), min_size=2, max_size=2)
)
def test_spans_are_replaced_as_plain_python_does(
    batch_of: BatchOf, many: list[tuple[str, list[int]]], replacements: list[str]
) -> None:
    rows: list[tuple[int, int, int, int]] = []
    expected = []
    for number, (text, places) in enumerate(many):
        spans = [(min(a, len(text)), min(b, len(text))) for a, b in zip(places[::2], places[1::2], strict=False)]
        pieces, last = [], 0
        for start, stop in (span for span in spans if span[0] < span[1]):  # a word has letters
            choice = (start + stop) % 2
            rows.append((number, len(text[:start].encode()), len(text[:stop].encode()), choice))
            pieces += [text[last:start], replacements[choice]]
            last = stop
        expected.append("".join([*pieces, text[last:]]))
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    column = batch_of(*[text for text, _ in many]).column("text")
    column = edited(column, Found(*columns).edits(column, replacements, columns[3]))
    column.validate(full=True)
    assert column.to_pylist() == expected
