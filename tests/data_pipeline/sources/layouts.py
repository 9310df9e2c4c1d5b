"""Parquet files in memory, and their layout."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.sources.parquet_layout import RowGroup, read_footer, row_groups


def layout(table: pa.Table, **options: Any) -> tuple[io.BytesIO, Any, list[RowGroup]]:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    size = len(stream.getvalue())
    footer = read_footer(stream, size)
    return stream, footer, list(row_groups(footer, stream, size))
