"""Samples by number: against the plain reading of the definition, over epochs, sources and shards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.shards.errors import DamagedShard
from data_pipeline.shards.reader import TokenStream
from pretrain.data.dataset import open_data
from pretrain.data.errors import DataError
from pretrain.data.order import permute_one
from pretrain.data.samples import AHEAD_SAMPLES, Samples, SourceSamples
from pretrain.pieces import NONE

Make = Callable[..., Path]
Documents = Callable[[int, int], list[np.ndarray]]


def laid_out(documents: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.append(document, 0) for document in documents])


def test_reads_what_the_definition_says(make_folder: Make, documents: Documents) -> None:
    web, seq_len, seed = documents(150, 1), 50, 7
    folder = make_folder({"web": web})
    samples = Samples(open_data(folder), seq_len, seed)
    tokens = laid_out(web)
    num_samples = (len(tokens) - 1) // seq_len
    assert len(list(folder.glob("shards/train/web_*.bin"))) > 3  # so some samples cross from one shard to the next
    numbers = np.arange(-5, 3 * num_samples)
    expected = []
    for number in numbers.tolist():
        place = permute_one(number % num_samples, num_samples, seed, number // num_samples, "web")
        expected.append(tokens[place * seq_len : (place + 1) * seq_len + 1])
    assert np.array_equal(samples.read(numbers), np.array(expected))


def test_every_token_is_a_target_once_an_epoch_and_the_tail_is_counted(make_folder: Make, documents: Documents) -> None:
    web, seq_len = documents(60, 4), 33
    samples = Samples(open_data(make_folder({"web": web})), seq_len, seed=0)
    source = samples.sources["web"]
    tokens = laid_out(web)
    for epoch in range(2):
        numbers = np.arange(epoch * source.num_samples, (epoch + 1) * source.num_samples)
        rows = samples.read(numbers)[np.argsort(source.places(numbers))]
        assert np.array_equal(rows[:, 1:].ravel(), tokens[1 : len(tokens) - source.tail_tokens])
    assert 0 <= source.tail_tokens < seq_len


@settings(max_examples=40, deadline=None)
@given(asked=st.lists(st.lists(st.integers(-20_000, 20_000), max_size=8), min_size=1, max_size=6))
def test_looking_ahead_does_not_change_the_places(asked: list[list[int]]) -> None:
    source = SourceSamples("web", TokenStream([]), num_samples=777, seq_len=4, seed=3)
    for numbers in asked:
        expected = [permute_one(number % 777, 777, 3, number // 777, "web") for number in numbers]
        assert source.places(np.array(numbers, dtype=np.int64)).tolist() == expected


def test_places_beyond_the_stretch_read_ahead() -> None:
    source = SourceSamples("web", TokenStream([]), num_samples=10**12, seq_len=4, seed=3)
    numbers = np.array([0, AHEAD_SAMPLES - 1, AHEAD_SAMPLES, 5 * AHEAD_SAMPLES, 10**13], dtype=np.int64)
    expected = [permute_one(number % 10**12, 10**12, 3, number // 10**12, "web") for number in numbers.tolist()]
    assert [int(source.places(numbers[i : i + 1])[0]) for i in range(5)] == expected
    assert source.places(numbers).tolist() == expected


@pytest.mark.parametrize("apart", [AHEAD_SAMPLES - 1, AHEAD_SAMPLES, AHEAD_SAMPLES + 1])
def test_numbers_at_both_ends_of_the_stretch(apart: int) -> None:
    source = SourceSamples("web", TokenStream([]), num_samples=10**6, seq_len=4, seed=3)
    expected = [permute_one(number, 10**6, 3, 0, "web") for number in (7, 7 + apart)]
    assert source.places(np.array([7, 7 + apart], dtype=np.int64)).tolist() == expected


def test_sources_are_mixed_by_weight_and_counted_in_epochs(make_folder: Make, documents: Documents) -> None:
    train = {"web": documents(40, 1), "code": [document % 100 + 500 for document in documents(10, 2)]}
    dataset = open_data(make_folder(train, weights={"web": 3.0, "code": 1.0}))
    samples = Samples(dataset, 32, seed=0)
    rows = samples.read(np.arange(400))
    from_code = np.array([bool(np.isin(row[row > 0], np.arange(500, 600)).all()) for row in rows])
    assert from_code.sum() == 100
    assert np.abs(np.cumsum(from_code) - np.arange(1, 401) / 4).max() < 1
    epochs = samples.epochs(400)
    assert epochs == {
        "code": 100 / dataset.num_samples("code", 32),
        "web": 300 / dataset.num_samples("web", 32),
    }


def test_plain_pieces_read_the_same_samples(make_folder: Make, documents: Documents) -> None:
    train = {"web": documents(40, 1), "code": documents(10, 2)}
    dataset = open_data(make_folder(train, weights={"web": 3.0, "code": 1.0}))
    fast, plain = (Samples(dataset, 32, 0, plain_pieces=pieces) for pieces in (NONE, frozenset({"order", "mixture"})))
    for numbers in (np.arange(50), np.arange(-20, 0), np.array([3 * 65_536 + 7, 65_535, 65_536])):
        assert np.array_equal(plain.read(numbers), fast.read(numbers))
        assert np.array_equal(plain.sources_of(numbers), fast.sources_of(numbers))
    assert plain.drawn(1000) == fast.drawn(1000)
    assert fast.pieces == {"order", "mixture"}


def test_a_weight_too_small_to_ever_be_drawn_is_refused(make_folder: Make, documents: Documents) -> None:
    dataset = open_data(make_folder({"web": documents(9, 1), "code": documents(9, 2)}))
    with pytest.raises(DataError, match=r"data\.mixture\.code: 1e-09 of .* less than one sample in 65,536"):
        Samples(dataset, 8, seed=0, mixture={"web": 1.0, "code": 1e-9})


def test_a_damaged_block_is_found_when_it_is_first_read(make_folder: Make, documents: Documents) -> None:
    folder = make_folder({"web": documents(40, 1)})
    shard = folder / "shards" / "train" / "web_00001.bin"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    samples = Samples(open_data(folder), 32, seed=0)
    with pytest.raises(DamagedShard, match=r"web_00001\.bin: block 0"):
        samples.read(np.arange(samples.sources["web"].num_samples))
