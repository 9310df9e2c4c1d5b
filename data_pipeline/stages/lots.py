"""The lots of stored documents: by the source and the name of their files, and their rows."""

from __future__ import annotations

import numpy as np

from data_pipeline.mix.lots import file_lots, lots
from data_pipeline.stages.view import View


def lots_of(view: View, indices: np.ndarray, purpose: str, seed: int) -> np.ndarray:
    """Return the lots of documents, (n,) uint64; indices: (n,) int64, the rest as of `mix.lots.file_lots`."""
    sources, of_document = view.sources
    of_file = np.zeros(len(view.file_names), np.int32)  # a file is of one source
    of_file[view.files] = of_document
    names = [(sources[number], name) for number, name in zip(of_file.tolist(), view.file_names, strict=True)]
    return lots(file_lots(purpose, seed, names), view.files[indices], view.rows[indices])
