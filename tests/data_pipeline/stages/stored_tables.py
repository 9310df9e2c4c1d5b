"""Signatures as datasketch's users make and store them: what the tests of stored signatures read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasketch
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NUM_PERM = 16
TEXTS = [f"The  words of document {number} and {number % 7} more of them" for number in range(300)]
IDS = [f"id-{number}" for number in range(300)]


def datasketch_s(text: str, **settings: Any) -> np.ndarray:
    """Return the signature as its users make it: shingles of five words in lower case."""
    words = text.lower().split()
    sketch = datasketch.MinHash(num_perm=settings.pop("num_perm", NUM_PERM), **settings)
    sketch.update_batch([" ".join(words[i : i + 5]).encode() for i in range(max(1, len(words) - 4))])
    return np.asarray(datasketch.LeanMinHash(sketch).hashvalues)


def write_table(
    folder: Path, texts: list[str] = TEXTS, ids: list[Any] = IDS, name: str = "mine.parquet", **settings: Any
) -> Path:
    """Write a table as a user makes it; the settings are datasketch's."""
    signatures = [datasketch_s(text, **settings) for text in texts]
    pq.write_table(pa.table({"id": ids, "signature": signatures}), folder / name, row_group_size=70)
    return folder / name
