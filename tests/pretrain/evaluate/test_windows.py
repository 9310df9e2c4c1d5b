"""Every held-out token is a target exactly once, after the token before it; the training sample is fixed."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from data_pipeline.shards.reader import TokenStream
from pretrain.data.dataset import Dataset
from pretrain.data.samples import Samples
from pretrain.evaluate.windows import HeldOut, TrainingSample, Windows
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


def test_the_training_sample_is_fixed_and_of_no_epoch_of_training(dataset: Dataset) -> None:
    samples = Samples(dataset, 16, seed=1)
    inputs, targets = read_all(TrainingSample(samples, num_rows=10), 4)
    rows = samples.read(np.arange(-1, -11, -1))
    assert np.array_equal(inputs[:10], rows[:, :-1])
    assert np.array_equal(targets[:10], rows[:, 1:])
    assert (targets[10:] == IGNORE).all()
    longer, _ = read_all(TrainingSample(samples, num_rows=20), 5)
    assert np.array_equal(longer[:10], inputs[:10])


def test_an_empty_stream_has_no_rows(tokenizer: Tokenizer) -> None:
    assert HeldOut(TokenStream([]), 16, tokenizer.eot_id).num_rows == 0
