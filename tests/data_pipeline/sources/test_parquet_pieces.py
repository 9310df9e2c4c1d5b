from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.sources.parquet_layout import Part
from data_pipeline.sources.parquet_pieces import cuts, small_file
from tests.data_pipeline.sources.layouts import layout


def test_a_small_file_is_read_by_pyarrow_as_that_row_group() -> None:
    table = pa.table(
        {"text": [str(row) * row for row in range(90)], "s": [{"a": row, "b": [row]} for row in range(90)]}
    )
    stream, footer, groups = layout(table, row_group_size=40, write_page_checksum=True)
    for group in groups:
        whole = b"".join(small_file(Part(group.columns, 0, group.num_rows), footer, stream))
        found = pq.read_table(io.BytesIO(whole), page_checksum_verification=True)
        assert found.to_pylist() == table.slice(group.first_row, group.num_rows).to_pylist()


@given(st.lists(st.integers(0, 3_000), min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 20_000))
@settings(max_examples=50)
def test_cuts_are_at_rows_in_order_and_leave_blocks_of_the_size_asked_for(
    sizes: list[int], page_rows: int, most_bytes: int
) -> None:
    texts = pa.array(["x" * size for size in sizes])
    table = pa.table({"text": texts, "n": list(range(len(sizes)))})
    options = {"use_dictionary": False, "compression": "none", "data_page_size": 1, "write_batch_size": page_rows}
    _, _, (group,) = layout(table, **options)
    stops = cuts(group, most_bytes)
    assert stops == sorted(set(stops)) and stops[-1] == len(sizes)
    largest_page = max(page.unpacked_bytes for page in group.columns[0].leaves[0].pages)
    for start, stop in zip([0, *stops], stops, strict=False):
        held = sum(sizes[start:stop])
        assert stop - start == 1 or held <= most_bytes + 2 * largest_page  # within a page all rows count the same
