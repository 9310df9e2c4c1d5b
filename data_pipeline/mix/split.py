"""The held-out split: which documents the model is validated on and never trained on."""

from __future__ import annotations

import numpy as np
import xxhash

from foundation.errors import GroundworkError, require


class SplitError(GroundworkError):
    """The corpus can't be split as the settings ask."""


class HeldOut:
    """Holds out a share of the documents, each by the hash of its own key.

    Whether a document is held out depends on its key and the seed alone: not on the other documents, nor on how many
    there are; a larger share holds out the same ones and more. Two ends excepted, so that a corpus of a few documents
    works: the one of the smallest hash is always held out, the one of the largest never.

    Args:
        held_out_frac: share of the documents, in (0, 1).
        seed: another seed holds out others.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(self, held_out_frac: float = 0.01, seed: int = 0) -> None:
        allowed = "a share between 0 and 1; 0.01 is usual"
        require(0 < held_out_frac < 1, "held_out_frac", held_out_frac, allowed)
        require(0 <= seed < 2**64, "seed", seed, "a number from 0 to below 2^64")
        self.held_out_frac, self.seed = held_out_frac, seed

    def is_held_out(self, files: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return which documents are held out, (n,) bool.

        Args:
            files: (n,) int32 file numbers of the whole corpus's documents.
            rows: (n,) int64 rows.
        Raises:
            SplitError: there are fewer than two documents.
        """
        keys = np.stack([files.astype("<i8"), rows.astype("<i8")], axis=1).tobytes()
        hashes = (xxhash.xxh3_64_intdigest(keys[at : at + 16], self.seed) for at in range(0, len(keys), 16))
        lots = np.fromiter(hashes, np.uint64, len(files))
        if len(lots) < 2:
            raise SplitError(
                f"mix: {len(lots)} document{'' if len(lots) == 1 else 's'} to split, where one is to be held out and "
                "one to be left to train on; give more"
            )
        held_out = lots < np.uint64(int(self.held_out_frac * 2**64))
        held_out[lots.argmin()], held_out[lots.argmax()] = True, False
        return held_out
