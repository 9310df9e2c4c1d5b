from __future__ import annotations

import numpy as np

from pretrain.data.keys import sample_keys


def test_a_key_is_a_function_of_seed_step_and_sample_alone() -> None:
    samples = np.arange(12, dtype=np.int64)
    whole = sample_keys(7, 3, samples)
    assert whole.dtype == np.int64
    assert np.array_equal(sample_keys(7, 3, samples.reshape(3, 4)), whole.reshape(3, 4))
    assert np.array_equal(sample_keys(7, 3, samples[::-1][:5]), whole[::-1][:5])


def test_no_two_of_seed_step_and_sample_share_a_key() -> None:
    samples = np.arange(1000, dtype=np.int64)
    keys = np.concatenate([sample_keys(seed, step, samples) for seed in (0, 1, 11, -1) for step in (0, 1, 10, 11)])
    assert len(np.unique(keys)) == len(keys)
    bits = np.unpackbits(keys.view(np.uint8)).reshape(-1, 64).mean(axis=0)
    assert (np.abs(bits - 0.5) < 5 * 0.5 / len(keys) ** 0.5).all()
