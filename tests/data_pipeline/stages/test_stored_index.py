"""What travels to workers doesn't grow with the test items, and says the same there."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipeline.decontaminate.index import build_index, words_of
from data_pipeline.decontaminate.testsets import TestItem
from data_pipeline.documents import SNIPPET_CHARS
from data_pipeline.stages.item_files import ItemFiles, write_named
from data_pipeline.stages.stored_index import StoredIndex


def stored(folder: Path, num_items: int) -> tuple[StoredIndex, pa.LargeStringArray]:
    texts = pa.array([" ".join(f"{item}x{at}" for at in range(30)) for item in range(num_items)], pa.large_string())
    return StoredIndex(folder / str(num_items), build_index(words_of(texts), 13, 3)), texts


def test_a_mapped_index_finds_what_the_one_in_memory_finds_and_its_pickle_does_not_grow(tmp_path: Path) -> None:
    (few, _), (many, texts) = stored(tmp_path, 2), stored(tmp_path, 2000)
    many.index.find(texts)  # mapped here, too, before it travels
    sizes = [len(pickle.dumps(each)) for each in (few, many)]
    assert abs(sizes[1] - sizes[0]) < 100
    there = pickle.loads(pickle.dumps(many)).index
    plain = build_index(words_of(texts), 13, 3)
    for mine, other in zip(there.find(texts), plain.find(texts), strict=True):
        assert np.array_equal(mine, other)
    assert not there.places.flags.writeable and there.places.flags.aligned


def test_items_are_looked_up_by_number_over_all_files(tmp_path: Path) -> None:
    items = [TestItem("a#b", str(at), f"text {at} " * 99) for at in range(7)]
    written = [write_named(tmp_path / f"{at}", part) for at, part in enumerate((items[:3], [], items[3:]))]
    files = ItemFiles([each.path for each in written], [len(each.num_chars) for each in written])
    numbers = np.array([6, 0, 3, 2, 3])
    assert files.take(numbers) == [items[number] for number in numbers]
    assert files.names_and_begins(numbers) == [(items[number].name, items[number].text[:240]) for number in numbers]
    assert list(files.calls()) == [(item.set, item.item, item.text[:SNIPPET_CHARS]) for item in items]
