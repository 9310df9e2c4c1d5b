"""The view of the corpus against plain lists: positions, slices, texts in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.sources.batches import document_batch
from data_pipeline.stages import view as module
from data_pipeline.stages.cuts import Cuts
from data_pipeline.stages.view import (
    Partition,
    TextReader,
    View,
    batch_path,
    decision_path,
    keys_path,
    num_bytes,
    snippets,
)
from data_pipeline.storage import write_arrays, write_batch

SIZES = [3, 0, 4, 5]
TEXTS = [f"text é {number} " * (number + 1) for number in range(sum(SIZES))]
GONE = [1, 2, 7]
HELD_OUT = [0, 7, 11]


@pytest.fixture
def view(tmp_path: Path) -> View:
    partitions, start = [], 0
    for number, size in enumerate(SIZES):
        texts = [text.encode() for text in TEXTS[start : start + size]]
        ids = [f"id{index}".encode() for index in range(start, start + size)]
        batch = document_batch(number, list(range(size)), ids, texts, [b"{}"] * size)
        name = f"0000{number}-00000"
        content_hash = write_batch(batch_path(tmp_path, name), batch)
        sizes = np.array([len(text) for text in texts], np.int64)
        columns = {"files": np.full(size, number, np.int32), "rows": np.arange(size), "sizes": sizes}
        write_arrays(keys_path(tmp_path, name), columns)
        partitions.append(Partition(name, "web" if number < 2 else "books", size, int(sizes.sum()), content_hash))
        start += size
    write_arrays(decision_path(tmp_path, "exact"), {"gone": np.array(GONE)})
    write_arrays(decision_path(tmp_path, "split"), {"held_out": np.array(HELD_OUT)})
    return View(tmp_path, partitions, [f"{number}.jsonl" for number in range(len(SIZES))])


def test_decisions_apply_in_turn(view: View) -> None:
    assert view.alive.all() and not view.held_out.any()
    after = view.after("exact").after("split")
    alive = [index for index in range(len(TEXTS)) if index not in GONE]
    assert after.positions.tolist() == alive == np.flatnonzero(after.alive).tolist()
    assert np.flatnonzero(after.held_out).tolist() == [index for index in HELD_OUT if index not in GONE]
    assert view.sizes.tolist() == [len(text.encode()) for text in TEXTS]
    assert list(zip(view.files.tolist(), view.rows.tolist(), strict=True)) == [
        (number, row) for number, size in enumerate(SIZES) for row in range(size)
    ]


def test_slices_hold_what_the_mask_chose(view: View) -> None:
    after = view.after("exact")
    slices = list(after.slices(after.alive))
    assert [piece.partition.name for piece in slices] == ["00000-00000", "00002-00000", "00003-00000"]
    texts = [text for piece in slices for text in piece.texts().to_pylist()]
    assert texts == [TEXTS[index] for index in after.positions]
    assert [index for piece in slices for index in piece.indices().tolist()] == after.positions.tolist()
    assert num_bytes(slices[0].texts()) == len(TEXTS[0].encode())
    assert not list(after.slices(np.zeros(len(TEXTS), bool)))


def test_texts_come_in_the_order_asked_for(view: View) -> None:
    after = view.after("exact")
    read = TextReader(after)
    positions = np.array([8, 0, 3, 3, 5, 1])
    assert read(positions) == [TEXTS[after.positions[position]] for position in positions]
    assert read(np.zeros(0, np.int64)) == []


def test_the_partitions_used_last_are_held_up_to_a_limit(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {number: TEXTS[sum(SIZES[:number])] for number in (0, 2, 3)}
    whole = sum(slice_.texts().nbytes for slice_ in view.slices(view.alive))
    for limit, held in ((1, 1), (whole - 1, 2), (whole, 3)):
        monkeypatch.setattr(module, "CACHE_BYTES", limit)
        read = TextReader(view)
        for number in (0, 2, 3, 3, 2, 0):
            assert read(np.array([sum(SIZES[:number])])) == [texts[number]]
        assert len(read._cache) == held


def test_sources_are_told_apart(view: View) -> None:
    masks = dict(view.source_masks())
    assert list(masks) == ["web", "books"]
    assert np.flatnonzero(masks["web"]).tolist() == [0, 1, 2]
    assert (masks["web"] ^ masks["books"]).all()


def test_a_snippet_cuts_between_characters() -> None:
    assert snippets(pa.array(["é" * 1000, "", "short"], pa.large_string())) == ["é" * 240, "", "short"]


def test_cuts_of_stages_apply_in_turn(view: View) -> None:
    """The second cut counts in what the first has left."""
    first = Cuts(np.array([3, 3, 9]), np.array([0, 9, 0]), np.array([1, 10, 5]))
    second = Cuts(np.array([3, 11]), np.array([0, 2]), np.array([2, 3]))
    for stage, cuts in (("near", first), ("paragraphs", second)):
        write_arrays(decision_path(view.work, stage), {"gone": np.array([4]), **cuts.arrays()})
    after = view.after("exact").after("near").after("paragraphs")
    expected = [text.encode() for text in TEXTS]
    expected[3] = (expected[3][1:9] + expected[3][10:])[2:]
    expected[9] = expected[9][5:]
    expected[11] = expected[11][:2] + expected[11][3:]
    assert after.sizes.tolist() == [len(text) for text in expected]
    left = [index for index in range(len(TEXTS)) if index not in (*GONE, 4)]
    found = [text for piece in after.slices(after.alive) for text in piece.texts().to_pylist()]
    assert found == [expected[index].decode() for index in left] == TextReader(after)(np.arange(len(left)))
    hashes = [[piece.content_hash for piece in each.slices(each.alive)] for each in (view, after)]
    assert [one != other for one, other in zip(*hashes, strict=True)] == [False, True, True]
