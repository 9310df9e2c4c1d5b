"""Which document of the input a document of a shard is: by the table beside the shard, or by the work folder."""

from __future__ import annotations

from pathlib import Path

from data_pipeline.inspection.errors import InspectionError
from data_pipeline.inspection.position import Position
from data_pipeline.inspection.work import Document
from data_pipeline.shards.documents import Documents, Origin
from data_pipeline.shards.errors import ShardError
from data_pipeline.shards.manifest import Manifest, shard_prefix


def from_table(data_dir: Path, manifest: Manifest, position: Position) -> Origin:
    """Return what the table beside the shard says.

    Raises:
        InspectionError: there is none, or it is not the shard's own.
    """
    shard = position.shard
    infos = manifest.splits[position.split][position.source].shards
    info = next(info for info in infos if info.name == shard.name)
    try:
        (origin,) = Documents(shard_prefix(data_dir, position.split, shard.name), info).origins([position.document])
    except ShardError as error:
        raise InspectionError(error.problem) from error
    return origin


def from_work(document: Document) -> Origin:
    """Return what the work folder says."""
    return Origin(document.file, document.row, document.record["id"])
