"""Builds the record batch of documents that every source gives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from data_pipeline.documents import SCHEMA

NO_METADATA = b"{}"


def document_batch(
    file_number: int, rows: list[int], ids: list[bytes], texts: list[bytes], metadata: list[bytes]
) -> pa.RecordBatch:
    """Return a batch with documents.SCHEMA. Everything is valid UTF-8 already: the callers decoded or encoded it.

    Args:
        file_number: of the one file that the documents come from.
        rows, ids, texts, metadata: one entry per document.
    """
    columns = [
        pa.array(np.full(len(rows), file_number, dtype=np.int32)),
        pa.array(np.array(rows, dtype=np.int64)),
        large_strings(ids),
        large_strings(texts),
        large_strings(metadata),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def large_strings(values: list[bytes]) -> pa.LargeStringArray:
    """Return UTF-8 values as an Arrow array; joined by hand this is 20 % faster than pa.array on strings (26.0.1)."""
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    return pa.LargeStringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(values)))
