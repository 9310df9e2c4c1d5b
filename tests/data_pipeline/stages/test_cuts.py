from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.stages.cuts import Cuts, joined


def plain(texts: list[str], spans: list[tuple[int, int, int]]) -> list[str]:
    """What Cuts.apply does, a document and a span at a time."""
    left = [text.encode() for text in texts]
    for document, start, stop in reversed(spans):
        left[document] = left[document][:start] + left[document][stop:]
    return [text.decode() for text in left]


def random_spans(rng: random.Random, texts: list[str]) -> list[tuple[int, int, int]]:
    spans = []
    for document, text in enumerate(texts):
        borders = [len(text[:i].encode()) for i in range(len(text) + 1)]
        places = sorted(rng.sample(borders, min(len(borders), rng.choice([0, 2, 4]))))
        pairs = zip(places[::2], places[1::2], strict=False)
        spans += [(document, start, stop) for start, stop in pairs]
        if rng.random() < 0.2 and len(borders) > 3:  # two that touch
            spans = [span for span in spans if span[0] != document]
            spans += [(document, borders[0], borders[1]), (document, borders[1], borders[3])]
    return spans


def cuts_of(spans: list[tuple[int, int, int]]) -> Cuts:
    columns = np.array(spans, np.int64).reshape(-1, 3).T
    return Cuts(*columns)


@pytest.mark.parametrize("seed", range(30))
def test_apply_is_the_plain_cutting(seed: int) -> None:
    rng = random.Random(seed)
    texts = ["".join(rng.choices("ab é中𝔘\n", k=rng.randint(0, 12))) for _ in range(rng.randint(1, 12))]
    spans = random_spans(rng, texts)
    cuts, array = cuts_of(spans), pa.array(["before", *texts, "after"], pa.large_string())[1:-1]
    expected = plain(texts, spans)
    assert cuts.apply(array).to_pylist() == expected
    lost = [len(text.encode()) - len(left.encode()) for text, left in zip(texts, expected, strict=True)]
    assert cuts.num_bytes(len(texts)).tolist() == lost
    first, stop = sorted(rng.choices(range(len(texts) + 1), k=2))
    assert cuts.within(first, stop).apply(array[first:stop]).to_pylist() == expected[first:stop]


def test_a_span_that_begins_within_a_letter_is_a_defect() -> None:
    with pytest.raises(pa.ArrowInvalid):
        cuts_of([(0, 1, 2)]).apply(pa.array(["中"], pa.large_string()))


def test_a_decision_keeps_them() -> None:
    cuts = cuts_of([(0, 1, 2), (3, 0, 4)])
    read = Cuts.of({"gone": np.zeros(0, np.int64), **cuts.arrays()})
    assert (read.hash(), len(read)) == (cuts.hash(), 2)
    assert read.hash() != cuts_of([(0, 1, 2), (3, 0, 5)]).hash()
    assert len(Cuts.of({"gone": np.zeros(0, np.int64)})) == 0


def test_parts_are_joined_in_their_order() -> None:
    first, second = (Cuts(*np.array(columns, np.int64)) for columns in ([[0, 2], [1, 0], [3, 2]], [[5], [4], [6]]))
    assert [column.tolist() for column in joined([first, Cuts(), second]).arrays().values()] == [
        [0, 2, 5],
        [1, 0, 4],
        [3, 2, 6],
    ]
    assert len(joined([])) == 0
