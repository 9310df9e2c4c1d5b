"""The clusters: every document that a search for copies connected with another, what went and what stayed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipeline.dedup.bands import Clusters
from data_pipeline.documents import Removals
from data_pipeline.executors.executor import Executor
from data_pipeline.stages.described import Described, Places
from data_pipeline.stages.view import View
from data_pipeline.storage import write_table

SCHEMA = pa.schema(
    [
        pa.field("id", pa.large_string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),  # its name, as in the input
        pa.field("row", pa.int64(), nullable=False),
        pa.field("cluster", pa.int64(), nullable=False),  # a label; place of its first document among all cleaned ones
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("kept_id", pa.large_string()),  # for which it went
        pa.field("similarity", pa.float64()),  # to that one
        pa.field("snippet", pa.large_string(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class _Members:
    """The documents of one partition that are in clusters.

    Attributes:
        partition, source: names.
        places: where each is described.
        clusters: (k,) int64.
        gone: (g,) int64, which of them went.
        kept: where the documents are described that these went for.
        similarity: (g,) float64, to these.
    """

    partition: str
    source: str
    places: Places
    clusters: np.ndarray
    gone: np.ndarray
    kept: Places
    similarity: np.ndarray


def write_clusters(
    executor: Executor, folder: Path, view: View, clusters: Clusters, removals: Removals, described: Described
) -> list[Path]:
    """Write the documents of all clusters, a file a partition.

    Args:
        folder: `clusters/<stage>`.
        view: before the removals.
        clusters: of positions.
        removals: each with `kept` and `similarity`, all among the clusters' documents.
        described: these documents.
    Returns:
        The files written.
    """
    assert removals.kept is not None and removals.similarity is not None
    members, labels = view.positions[clusters.documents], view.positions[clusters.clusters]
    gone, kept, similarity = view.positions[removals.positions], view.positions[removals.kept], removals.similarity
    mask = np.zeros(len(view.alive), bool)
    mask[members] = True

    def items() -> Iterator[_Members]:
        for piece in view.slices(mask):
            span = [piece.first_index, piece.first_index + len(piece.mask)]
            mine = slice(*np.searchsorted(members, span).tolist())
            went = slice(*np.searchsorted(gone, span).tolist())
            yield _Members(
                piece.partition.name,
                piece.partition.source,
                described.places(members[mine]),
                labels[mine],
                np.searchsorted(members[mine], gone[went]),
                described.places(kept[went]),
                similarity[went],
            )

    return list(executor.map(_Write(folder, view.file_names), items()))


class _Write:
    """Runs in a worker."""

    def __init__(self, folder: Path, file_names: list[str]) -> None:
        self._folder, self._file_names = folder, file_names

    def __call__(self, members: _Members) -> Path:
        documents = members.places.load()
        number = len(documents)
        stays = np.ones(number, bool)
        stays[members.gone] = False
        place_of_gone = np.zeros(number, np.int64)
        place_of_gone[members.gone] = np.arange(len(members.gone))
        place_of_gone = pa.array(place_of_gone, mask=stays)  # of one that stays: null, and so is what is taken by it
        columns = {
            "id": documents["id"],
            "source": [members.source] * number,
            "file": [self._file_names[file] for file in documents["file"].to_pylist()],
            "row": documents["row"],
            "cluster": members.clusters,
            "kept": stays,
            "kept_id": members.kept.load()["id"].take(place_of_gone),
            "similarity": pa.array(members.similarity).take(place_of_gone),
            "snippet": documents["text"],
        }
        path = self._folder / f"{members.partition}.parquet"
        write_table(path, pa.table(columns, SCHEMA))
        return path
