"""Counts of pieces are those of a dict, whatever the memory, the order and the number of runs."""

from __future__ import annotations

import random
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.storage import DamagedFile
from data_pipeline.tokenize.counted import Counted, merge_runs, on_disk
from data_pipeline.tokenize.counting import Adder, CountPart, batches, run_path
from data_pipeline.tokenize.piece_table import PieceTable
from data_pipeline.tokenize.split import SplitName, char_classes, split_plainly
from tests.data_pipeline.open_files import open_files

ALPHABET = "abcdefghabcdefghabcdefgh1 .\n'é東"


def some_texts(number: int, seed: int = 3) -> list[str]:
    rng = random.Random(seed)
    words = ["".join(rng.choices(ALPHABET, k=rng.choice([2, 5, 9, 16, 40]))) for _ in range(9000)]
    return ["".join(rng.choices(words, k=rng.randrange(90))) for _ in range(number)]


def plainly(texts: list[str], split: SplitName, max_bytes: int = 1 << 30) -> Counter[bytes]:
    counts: Counter[bytes] = Counter()
    for text in texts:
        for piece in (piece.encode() for piece in split_plainly(text, split)):
            counts.update(piece[at : at + max_bytes] for at in range(0, len(piece), max_bytes))
    return counts


def of(counts: dict[bytes, int]) -> Counted:
    """Return counted pieces as they come out of a table."""
    ends = np.cumsum([len(piece) for piece in counts], dtype=np.int64)
    data = np.frombuffer(b"".join(counts), np.uint8).copy()
    table = PieceTable(1 << 30)
    assert not list(table.add(Counted(data, ends, np.array(list(counts.values()), np.int64))))
    return table.take()


@pytest.mark.parametrize("split", ["gpt2", "cl100k"])
@pytest.mark.parametrize("memory_bytes", [1 << 30, 1 << 19, 1])
def test_counts_are_those_of_a_dict(split: SplitName, memory_bytes: int, tmp_path: Path) -> None:
    texts = some_texts(300)
    table = PieceTable(memory_bytes)
    runs = [*table.count(pa.array(texts, pa.large_string()), split, char_classes()), table.take()]
    assert (len(runs) > 1) == (memory_bytes < 1 << 30)
    counted = merge_runs(runs, tmp_path)
    assert dict(counted.pieces()) == dict(plainly(texts, split))
    assert len(counted.ends) == len(dict(counted.pieces()))  # each once
    assert len(table) == 0


def test_slices_of_arrays_are_counted_alone() -> None:
    texts = some_texts(50)
    table = PieceTable(1 << 30)
    assert not list(table.count(pa.array(texts, pa.large_string())[10:30], "gpt2", char_classes()))
    assert dict(table.take().pieces()) == dict(plainly(texts[10:30], "gpt2"))
    assert not list(table.count(pa.array([], pa.large_string()), "gpt2", char_classes()))
    assert not list(table.take().pieces())


@pytest.mark.parametrize("memory_bytes", [1 << 30, 1])
def test_long_pieces_are_cut_where_that_is_asked_for(memory_bytes: int, tmp_path: Path) -> None:
    texts = ["é" * 50 + " " + "x" * 1000 + " and more", *some_texts(50)]
    table = PieceTable(memory_bytes)
    runs = [*table.count(pa.array(texts, pa.large_string()), "gpt2", char_classes(), 9), table.take()]
    assert dict(merge_runs(runs, tmp_path).pieces()) == dict(plainly(texts, "gpt2", 9))


@pytest.mark.parametrize("memory_bytes", [1 << 30, 1 << 19, 1])
def test_what_workers_counted_adds_up(memory_bytes: int, tmp_path: Path) -> None:
    texts = some_texts(200)
    adder = Adder(memory_bytes, tmp_path / "merged")
    for number, part in enumerate([texts[:1], texts[1:150], [], texts[150:]]):
        done = CountPart("cl100k", 1 << 18)(pa.array(part, pa.large_string()), tmp_path / str(number))
        assert done.files == [run_path(tmp_path / str(number), each) for each in range(done.facts["runs"])]
        assert done.facts["utf8_bytes"] == sum(len(text.encode()) for text in part)
        for path in done.files:
            adder.add(Counted.read(path))
    counted = adder.sum()
    assert dict(counted.pieces()) == dict(plainly(texts, "cl100k"))
    here = Adder(1 << 30, tmp_path / "here")
    for batch in batches(iter(texts)):
        here.count(batch, "cl100k")
    for ours, theirs in zip(here.sum(), counted, strict=True):
        assert np.array_equal(ours, theirs)  # the order, too, whatever way they went


def test_counts_have_64_bits(tmp_path: Path) -> None:
    counts = {b"a": 3_000_000_000, b"of some length": (1 << 62) - 1, b"b": 1}
    twice = merge_runs([of(counts), of({b"a": 3_000_000_000}), of({b"of some length": 5})], tmp_path)
    assert dict(twice.pieces()) == {b"a": 6_000_000_000, b"of some length": (1 << 62) + 4, b"b": 1}


def test_runs_are_in_one_order_for_pieces_with_the_same_beginnings() -> None:
    rng = random.Random(1)
    pieces = {
        b"x" * size + bytes(rng.choices(b"ab\0", k=rng.randrange(12)))
        for size in (0, 1, 7, 8, 9, 16, 24)
        for _ in range(200)
    }
    pieces.discard(b"")
    first, second = of(dict.fromkeys(sorted(pieces), 1)), of(dict.fromkeys(sorted(pieces, reverse=True), 1))
    assert list(first.pieces()) == list(second.pieces())
    assert {piece for piece, _ in first.pieces()} == pieces


def test_files_come_back_and_damage_is_seen(tmp_path: Path) -> None:
    counted = of({b"abc": 3, b"a longer one": 1})
    counted.write(tmp_path / "run.npz")
    assert list(Counted.read(tmp_path / "run.npz").pieces()) == list(counted.pieces())
    assert list(on_disk(counted, tmp_path).pieces()) == list(counted.pieces())
    data = bytearray((tmp_path / "run.npz").read_bytes())
    data[data.index(b"a longer one")] ^= 1
    (tmp_path / "run.npz").write_bytes(data)
    with pytest.raises(DamagedFile):
        Counted.read(tmp_path / "run.npz")


def test_keys_that_are_multiples_do_not_crowd() -> None:
    """Pieces whose numbers differ in their upper bits alone share a slot of a plain table: minutes, no moment."""
    pieces = [bytes([97, 97, 97, 97, *divmod(number, 256), 97]) for number in range(40_000)]
    pieces += [b"aaaaaaaa" + piece for piece in pieces]
    counts = dict.fromkeys(pieces, 1)
    of(dict.fromkeys(pieces[:10], 1))  # compiled
    start = time.process_time()
    assert len(of(counts).ends) == len(counts)
    assert time.process_time() - start < 2.0


def test_a_piece_larger_than_the_memory_is_counted(tmp_path: Path) -> None:
    text = "a" * 3_000_000 + " b"
    table = PieceTable(1 << 20)
    runs = [*table.count(pa.array(["c c", text, text], pa.large_string()), "gpt2", char_classes()), table.take()]
    assert dict(merge_runs(runs, tmp_path).pieces()) == {b"a" * 3_000_000: 2, b" b": 2, b"c": 1, b" c": 1}


def test_more_runs_than_files_may_be_open_add_up(tmp_path: Path) -> None:
    texts = [f"{' '.join(map(str, range(number, number + 2000)))}" for number in range(0, 200_000, 2000)]
    adder = Adder(1 << 16, tmp_path)
    with open_files(more=40):
        for text in texts:
            adder.count(pa.array([text], pa.large_string()), "gpt2")
        counted = adder.sum()
    assert dict(counted.pieces()) == dict(plainly(texts, "gpt2"))


def test_one_long_text_takes_as_few_runs_as_many_short_ones() -> None:
    words = [f"word{number:05d}" for number in range(60_000)]
    runs = []
    for size in (1000, len(words)):
        texts = pa.array([" ".join(words[at : at + size]) for at in range(0, len(words), size)], pa.large_string())
        runs.append(len(list(PieceTable(1 << 20).count(texts, "gpt2", char_classes()))))
    assert runs[0] > 1 and runs[1] <= runs[0]


def test_ends_are_where_pieces_end() -> None:
    counted = of({b"ab": 1, b"longer than eight": 2})
    ends = counted.ends.tolist()
    assert [counted.data[start:end].tobytes() for start, end in pairwise([0, *ends])] == [b"ab", b"longer than eight"]
