"""What a sample is made of: its place in a source, and the documents of the input that it holds parts of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from data_pipeline.shards.documents import Documents
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
    """Finds the documents of samples.

    Args:
        dataset: an open data folder.
        seq_len: targets of a sample.
    """

    def __init__(self, dataset: Dataset, seq_len: int) -> None:
        self._dataset, self._seq_len = dataset, seq_len

    def of(self, places: list[Place]) -> list[list[dict[str, Any]]]:
        """Return for each sample the documents that it holds inputs of, in their order, as JSON values.

        Returns:
            `shard`, `document` (its number in the shard), `first` and `end` (its part of the sample's inputs), and
            `file`, `row`, `id` of the input; `unknown` in their place where the shard's table is missing or damaged.
        """
        parts = [self._parts(place) for place in places]
        wanted: dict[tuple[str, str], set[int]] = {}
        for place, each in zip(places, parts, strict=True):
            for part in each:
                wanted.setdefault((place.source, part["shard"]), set()).add(part["document"])
        # each table is read once: a row group of it may hold a million documents
        found = {key: self._told(*key, sorted(numbers)) for key, numbers in wanted.items()}
        return [
            [part | found[place.source, part["shard"]][part["document"]] for part in each]
            for place, each in zip(places, parts, strict=True)
        ]

    def _parts(self, place: Place) -> list[dict[str, Any]]:
        parts, done = [], 0
        while done < self._seq_len:
            shard, token = self._at(place.source, place.first_token + done)
            document = int(np.searchsorted(shard.document_starts, token, side="right")) - 1
            end = min(done + int(shard.document_starts[document + 1]) - token, self._seq_len)
            parts.append({"shard": shard.name, "document": document, "first": done, "end": end})
            done = end
        return parts

    def _at(self, source: str, token: int) -> tuple[Shard, int]:
        for shard in self._dataset.train[source].shards:
            if token < shard.num_tokens:
                return shard, token
            token -= shard.num_tokens
        raise AssertionError(f"{source}: a sample lies beyond its shards")

    def _told(self, source: str, shard: str, numbers: list[int]) -> dict[int, dict[str, Any]]:
        infos = self._dataset.manifest.splits["train"][source].shards
        prefix = shard_prefix(self._dataset.path, "train", shard)
        try:
            origins = Documents(prefix, next(info for info in infos if info.name == shard)).origins(numbers)
        except ShardError as error:
            return {number: {"unknown": error.problem} for number in numbers}
        told = ({"file": origin.file, "row": origin.row, "id": origin.id} for origin in origins)
        return dict(zip(numbers, told, strict=True))
