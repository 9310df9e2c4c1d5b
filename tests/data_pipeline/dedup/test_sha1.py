from __future__ import annotations

import hashlib

import numpy as np

from data_pipeline.dedup.sha1 import LANES, sha1_32


def test_equals_hashlib_on_messages_of_every_length() -> None:
    """Lengths around those where the padding takes another block, more of one length than lanes, some of none."""
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, 100_000).astype(np.uint8)
    lengths = np.concatenate([np.arange(260), np.full(3 * LANES + 1, 55), np.full(LANES, 56), [5000, 70_000]])
    rng.shuffle(lengths)
    starts = rng.integers(0, len(data) - lengths)
    expected = [
        int.from_bytes(hashlib.sha1(data[start : start + length].tobytes()).digest()[:4], "little")
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
    ]
    assert sha1_32(data, starts, starts + lengths).tolist() == expected


def test_no_messages() -> None:
    none = np.zeros(0, np.int64)
    assert len(sha1_32(np.zeros(0, np.uint8), none, none)) == 0
