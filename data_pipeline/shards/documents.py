"""Which documents of the input those of a shard are: the table beside it. Reading it imports pyarrow, and only then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_pipeline.shards.errors import ShardError
from data_pipeline.shards.manifest import ShardInfo, documents_path
from foundation.hashes import hash_file

COPY = "copy it again from its origin"
COLUMNS = ["source_file", "row", "id"]


@dataclass(frozen=True, slots=True)
class Origin:
    """A document of the input. Attributes: file: its name; row: in it, from 0; id: as given, else derived."""

    file: str
    row: int
    id: str


class Documents:
    """The table of one shard; its hash is verified when it is opened.

    Args:
        prefix: path of the shard's files without their suffix.
        info: what the manifest says of the shard.
    Raises:
        ShardError: there is no table, or it is not the shard's own.
    """

    def __init__(self, prefix: Path, info: ShardInfo) -> None:
        self.path, self._num_documents = documents_path(prefix), info.num_documents
        if not self.path.is_file():
            raise ShardError(f"{self.path.name} is missing, which names the documents of this shard")
        if info.documents_hash is not None and hash_file(self.path) != info.documents_hash:
            raise ShardError(f"{self.path}: its hash is not the one in the manifest", COPY)

    def origins(self, numbers: Sequence[int]) -> list[Origin]:
        """Return the documents of the input that these documents of the shard are.

        Args:
            numbers: of documents in the shard, from 0, rising.
        Raises:
            ShardError: the table can't be read, or has other rows than the shard documents.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        found: list[Origin] = []
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                if (rows := file.metadata.num_rows) != self._num_documents:
                    raise ShardError(f"{self.path}: {rows:,} rows for {self._num_documents:,} documents")
                first = 0
                for group in range(file.num_row_groups):
                    end = first + file.metadata.row_group(group).num_rows
                    if mine := [number - first for number in numbers if first <= number < end]:
                        table = file.read_row_group(group, columns=COLUMNS).take(mine)
                        found += [Origin(row["source_file"], row["row"], row["id"]) for row in table.to_pylist()]
                    first = end
        except (pa.ArrowException, OSError, KeyError) as error:
            raise ShardError(f"{self.path}: can't be read ({error})", COPY) from error
        return found
