"""What a sample is made of: its place in a source, and the documents of the input that it holds parts of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from data_pipeline.shards.documents import Documents, Origin
from data_pipeline.shards.errors import ShardError
from data_pipeline.shards.manifest import shard_prefix
from data_pipeline.shards.reader import Shard
from pretrain.data.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sample lies.

    Attributes:
        sample: its number in the run. source: its name. epoch: of that source, from 0.
        first_token: of the source's training shards laid end to end.
    """

    sample: int
    source: str
    epoch: int
    first_token: int


class Origins:
    """Finds the documents of samples; opens each shard's table once.

    Args:
        dataset: an open data folder.
        seq_len: targets of a sample.
    """

    def __init__(self, dataset: Dataset, seq_len: int) -> None:
        self._dataset, self._seq_len = dataset, seq_len
        self._tables: dict[str, Documents | str] = {}

    def of(self, place: Place) -> list[dict[str, Any]]:
        """Return the documents that a sample holds inputs of, in their order, as JSON values.

        Returns:
            `shard`, `document` (its number in the shard), `first` and `end` (its part of the sample's inputs), and
            `file`, `row`, `id` of the input; `unknown` in their place where the shard's table is missing or damaged.
        """
        found, done = [], 0
        while done < self._seq_len:
            shard, token = self._at(place.source, place.first_token + done)
            document = int(np.searchsorted(shard.document_starts, token, side="right")) - 1
            left = int(shard.document_starts[document + 1]) - token
            end = min(done + left, self._seq_len)
            part = {"shard": shard.name, "document": document, "first": done, "end": end}
            found.append(part | self._origin(place.source, shard, document))
            done = end
        return found

    def _at(self, source: str, token: int) -> tuple[Shard, int]:
        for shard in self._dataset.train[source].shards:
            if token < shard.num_tokens:
                return shard, token
            token -= shard.num_tokens
        raise AssertionError(f"{source}: a sample lies beyond its shards")

    def _origin(self, source: str, shard: Shard, document: int) -> dict[str, Any]:
        if shard.name not in self._tables:
            self._tables[shard.name] = self._open(source, shard)
        table = self._tables[shard.name]
        try:
            origin = None if isinstance(table, str) else table.origins([document])[0]
        except ShardError as error:
            self._tables[shard.name] = table = error.problem
            origin = None
        return _told(origin) if origin is not None else {"unknown": str(table)}

    def _open(self, source: str, shard: Shard) -> Documents | str:
        infos = self._dataset.manifest.splits["train"][source].shards
        try:
            prefix = shard_prefix(self._dataset.path, "train", shard.name)
            return Documents(prefix, next(info for info in infos if info.name == shard.name))
        except ShardError as error:
            return error.problem


def _told(origin: Origin) -> dict[str, Any]:
    return {"file": origin.file, "row": origin.row, "id": origin.id}
