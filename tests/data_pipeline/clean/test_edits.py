from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.edits import Edits, edited, examples_of, rows_of
from data_pipeline.clean.rules import Example
from data_pipeline.documents import utf8_buffers

BatchOf = Callable[..., pa.RecordBatch]
PIECES = ["", "é", "longer than what was there"]
# a text as parts: each stays (None), or is replaced by a piece
parts = st.lists(st.tuples(st.text(max_size=4), st.none() | st.sampled_from(range(len(PIECES)))), max_size=6)


@given(st.lists(parts, max_size=5))
def test_pieces_stand_in_place_of_the_spans(batch_of: BatchOf, many: list[list[tuple[str, int | None]]]) -> None:
    texts = batch_of(*("".join(part for part, _ in text) for text in many)).column("text")
    place = int(utf8_buffers(texts)[1][0])
    spans = []
    for part, piece in (each for text in many for each in text):
        size = len(part.encode())
        if piece is not None and size:
            spans.append((place, place + size, piece))
        place += size
    starts, stops, which = np.array(spans, np.int64).reshape(-1, 3).T
    found = edited(texts, Edits(starts, stops, [piece.encode() for piece in PIECES], which))
    found.validate(full=True)
    assert found.to_pylist() == [
        "".join(part if piece is None or not part else PIECES[piece] for part, piece in text) for text in many
    ]


def test_an_example_shows_one_edit_within_the_text_around_it(batch_of: BatchOf) -> None:
    batch = batch_of("first", "the cät sat é")
    first = int(utf8_buffers(batch.column("text"))[1][1])
    edits = Edits(np.array([first + 4]), np.array([first + 8]), [b"dog"], np.array([0]))
    assert rows_of(batch, edits.starts).tolist() == [1]
    assert examples_of("a", batch, edits, np.array([True])) == [Example("a", 2, "the cät sat é", "the dog sat é")]
    assert examples_of("a", batch, edits, np.array([False])) == []
    long = batch_of("é" * 50 + "x" + "é" * 50)
    at = int(utf8_buffers(long.column("text"))[1][0]) + 100
    (shown,) = examples_of("a", long, Edits.removing(np.array([at]), np.array([at + 1])), np.array([True]))
    assert (shown.before, shown.after) == ("é" * 20 + "x" + "é" * 20, "é" * 40)
