"""Arrays that many processes read: written once, mapped by each, so that the system holds one copy for all of them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.stages.features import StoredArray
from data_pipeline.storage import room_for
from foundation.files import replacing

_ALIGNED_BYTES = 64  # for an array that lies elsewhere kernels are compiled again


class Mapped:
    """Named arrays in a file, mapped at first use in each process; what travels to workers says where they lie.

    Args:
        path: of the file; it is no output and goes when the stage is finished.
        arrays: of any shapes and types.
    Raises:
        DiskFull: says how many bytes were needed.
    """

    def __init__(self, path: Path, arrays: dict[str, np.ndarray]) -> None:
        self._stored: dict[str, StoredArray] = {}
        num_bytes = sum(array.nbytes for array in arrays.values())
        with room_for(path, num_bytes), replacing(path) as temporary, temporary.open("wb") as file:
            for name, array in arrays.items():
                file.write(bytes(-file.tell() % _ALIGNED_BYTES))
                self._stored[name] = StoredArray(path, file.tell(), array.shape, array.dtype)
                file.write(np.ascontiguousarray(array).data)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays; they can't be changed."""
        return {name: stored.open() for name, stored in self._stored.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {"_stored": self._stored}  # not the arrays: they would travel as bytes
