"""The key of a sample: what all randomness in its forward pass hangs on, and nothing of how the batch is split."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xxhash

Int64s = npt.NDArray[np.int64]


def sample_keys(seed: int, data_step: int, samples: Int64s) -> Int64s:
    """Return int64 of the same shape, a hash of (seed, data_step, sample): neighbours have nothing in common.

    One call a sample, in the thread that reads ahead: half a microsecond, where reading the sample takes more.

    Args:
        seed: of the run, any integer.
        data_step: number of the global batch; after a rewind it goes on, so no mask comes twice.
        samples: sample numbers, any shape.
    """
    texts = (f"{seed}/{data_step}/{sample}" for sample in samples.ravel().tolist())
    keys = np.array([xxhash.xxh3_64_intdigest(text.encode()) for text in texts], dtype=np.uint64)
    return keys.view(np.int64).reshape(samples.shape)
