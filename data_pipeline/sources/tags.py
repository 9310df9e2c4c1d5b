"""Tags: fields that a source gives all of its documents, so that rules, which see documents, can tell sources apart."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from data_pipeline.documents import has_field, with_field


def tagged(batch: pa.RecordBatch, tags: Mapping[str, str] | None) -> pa.RecordBatch:
    """Return the documents with these fields in their metadata, behind the record's own.

    A field that the record itself has stays as it is, even where it is null: it says more of its document than one word
    for a whole source does.

    Args:
        batch: documents, with documents.SCHEMA.
        tags: name -> text.
    """
    if not tags:
        return batch
    objects: list[str] = batch.column("metadata").to_pylist()
    for key, value in tags.items():
        objects = [each if has_field(each, key) else with_field(each, key, value) for each in objects]
    place = batch.schema.get_field_index("metadata")
    return batch.set_column(place, batch.schema.field(place), pa.array(objects, pa.large_string()))
