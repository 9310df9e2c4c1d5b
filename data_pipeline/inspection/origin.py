"""Which document of the input a document of a shard is: by the table beside the shard, or by the work folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.inspection.errors import InspectionError
from data_pipeline.inspection.position import Position
from data_pipeline.inspection.work import Document
from data_pipeline.shards.manifest import Manifest, documents_path, shard_prefix
from foundation.hashes import hash_file

COLUMNS = ["source_file", "row", "id"]


@dataclass(frozen=True, slots=True)
class Origin:
    """A document of the input. Attributes: file: its name; row: in it, from 0; id: as given, else derived."""

    file: str
    row: int
    id: str


def from_table(data_dir: Path, manifest: Manifest, position: Position) -> Origin:
    """Return what the table beside the shard says.

    Raises:
        InspectionError: there is none, or it is not the shard's own.
    """
    shard = position.shard
    prefix = shard_prefix(data_dir, position.split, shard.name)
    path = documents_path(prefix)
    if not path.is_file():
        raise InspectionError(f"{path.name} is missing, which names the documents of this shard")
    infos = manifest.splits[position.split][position.source].shards
    stated = next(info.documents_hash for info in infos if info.name == shard.name)
    if stated is not None and hash_file(path) != stated:
        raise InspectionError(f"{path}: its hash is not the one in the manifest; copy it again from its origin")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if file.metadata.num_rows != shard.num_documents:
                raise InspectionError(f"{path}: {file.metadata.num_rows:,} rows for {shard.num_documents:,} documents")
            left = position.document
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if left < rows:
                    (found,) = file.read_row_group(group, columns=COLUMNS).slice(left, 1).to_pylist()
                    return Origin(found["source_file"], found["row"], found["id"])
                left -= rows
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InspectionError(f"{path}: can't be read ({error}); copy it again from its origin") from error
    raise AssertionError(position)


def from_work(document: Document) -> Origin:
    """Return what the work folder says."""
    return Origin(document.file, document.row, document.record["id"])
