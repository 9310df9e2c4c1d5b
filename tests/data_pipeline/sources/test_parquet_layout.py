from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.sources.parquet_pieces import empty_file
from tests.data_pipeline.sources.layouts import layout


def test_what_the_footer_and_the_headers_say_is_what_pyarrow_reads() -> None:
    table = pa.table({"text": [str(row) * row for row in range(90)], "n": list(range(90)), "l": [[1, 2]] * 90})
    stream, footer, groups = layout(table, row_group_size=40, data_page_size=300, write_batch_size=10)
    metadata = pq.read_metadata(stream)
    assert [group.num_rows for group in groups] == [40, 40, 10] and footer.num_rows == 90
    assert [group.first_row for group in groups] == [0, 40, 80]
    for number, group in enumerate(groups):
        assert [column.name for column in group.columns] == ["text", "n", "l"]
        assert [column.is_flat for column in group.columns] == [True, True, False]
        for place, column in enumerate(group.columns):
            told = metadata.row_group(number).column(place)
            (leaf,) = column.leaves
            assert sum(page.size for page in leaf.all_pages()) == told.total_compressed_size
            assert sum(page.num_values for page in leaf.pages) == told.num_values
    assert pq.read_schema(io.BytesIO(empty_file(footer))).names == ["text", "n", "l"]
