"""Every held-out token is a target exactly once, after the token before it; the training subset is fixed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from data_pipeline.shards.reader import TokenStream
from pretrain.data.dataset import Dataset
from pretrain.data.samples import Samples
from pretrain.evaluate.windows import HeldOut, TrainingSubset, Windows
from pretrain.tokenizer import Tokenizer
from pretrain.types import IGNORE


@pytest.mark.parametrize(("seq_len", "batch_rows"), [(1, 1), (1, 1000), (7, 3), (16, 1), (64, 1000), (100_000, 2)])
def test_every_held_out_token_is_a_target_once_after_its_own_past(
    dataset: Dataset, tokenizer: Tokenizer, seq_len: int, batch_rows: int
) -> None:
    for stream in dataset.val.values():
        windows = HeldOut(stream, seq_len, tokenizer.eot_id)
        inputs, targets = read_all(windows, batch_rows)
        assert inputs.shape[1] == seq_len
        tokens = stream.tokens(0, stream.num_tokens).astype(np.int64)
        kept = targets.ravel() != IGNORE
        assert np.array_equal(targets.ravel()[kept], tokens)
        assert np.array_equal(inputs.ravel()[kept], np.concatenate([[tokenizer.eot_id], tokens[:-1]]))
        assert not kept[len(tokens) :].any()  # the padding is one stretch at the end


@pytest.mark.parametrize(("seq_len", "max_rows"), [(1, 3), (7, 1), (7, 5), (16, 4), (16, 10**6)])
def test_a_bound_takes_windows_evenly_over_the_held_out_set(
    dataset: Dataset, tokenizer: Tokenizer, seq_len: int, max_rows: int
) -> None:
    for stream in dataset.val.values():
        everything = read_all(HeldOut(stream, seq_len, tokenizer.eot_id), 8)
        bounded = HeldOut(stream, seq_len, tokenizer.eot_id, max_rows)
        whole = -(-stream.num_tokens // seq_len)
        assert bounded.num_rows == min(whole, max_rows)
        taken = [math.floor(number * whole / bounded.num_rows) for number in range(bounded.num_rows)]
        for found, rows in zip(read_all(bounded, 3), everything, strict=True):
            assert np.array_equal(found[: bounded.num_rows], rows[taken])
        gaps = np.diff([*taken, whole])
        assert taken[0] == 0 and gaps.max() - gaps.min() <= 1  # no stretch is left out


def read_all(windows: Windows, batch_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Read in batches, one beyond the end included."""

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for first in range(0, windows.num_rows + batch_rows, batch_rows):
            inputs, targets = windows.read(first, batch_rows)
            assert len(inputs) == len(targets) == batch_rows
            yield inputs, targets

    inputs, targets = zip(*batches(), strict=True)
    return np.concatenate(inputs), np.concatenate(targets)


def test_the_text_of_the_targets_is_the_held_out_text(
    dataset: Dataset, tokenizer: Tokenizer, worker: ModuleType
) -> None:
    for name, documents in worker.VAL.items():
        _, targets = read_all(HeldOut(dataset.val[name], 16, tokenizer.eot_id), 4)
        ids = targets[targets != IGNORE]
        parts = np.split(ids, np.flatnonzero(ids == tokenizer.eot_id) + 1)
        assert [tokenizer.decode(part[:-1].tolist()) for part in parts[:-1]] == documents


def test_the_training_subset_is_fixed_and_of_no_epoch_of_training(dataset: Dataset) -> None:
    samples = Samples(dataset, 16, seed=1)
    inputs, targets = read_all(TrainingSubset(samples, num_rows=10), 4)
    rows = samples.read(np.arange(-1, -11, -1))
    assert np.array_equal(inputs[:10], rows[:, :-1])
    assert np.array_equal(targets[:10], rows[:, 1:])
    assert (targets[10:] == IGNORE).all()
    longer, _ = read_all(TrainingSubset(samples, num_rows=20), 5)
    assert np.array_equal(longer[:10], inputs[:10])


def test_an_empty_stream_has_no_rows(tokenizer: Tokenizer) -> None:
    assert HeldOut(TokenStream([]), 16, tokenizer.eot_id).num_rows == 0
