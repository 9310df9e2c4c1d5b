"""The corpus as the search for near-duplicates sees it: texts and scratch room on disk, shingle sets by workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.dedup.corpus import Corpus, MakeSets
from data_pipeline.dedup.sets import AnySets
from data_pipeline.records import Part
from data_pipeline.stages.features import read_sets, write_sets
from data_pipeline.stages.stage import Stage, Task, do_parts, task
from data_pipeline.stages.view import Slice, TextReader, View, num_bytes
from data_pipeline.storage import scratch_array
from foundation.cores import usable_cores
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import progress


class StoredCorpus(Corpus):
    """The documents of a view, by position.

    Args:
        stage: that searches; sets and scratch files lie in its folder and are gone when it is finished.
        identity: hash of what sets depend on beside the texts.
    """

    def __init__(self, stage: Stage, view: View, identity: str) -> None:
        self.threads = min(stage.place.executor.num_workers(), usable_cores())
        self._texts = TextReader(view)
        self._stage, self._view, self._identity = stage, view, identity

    def texts_at(self, positions: np.ndarray) -> list[str]:
        return self._texts(positions)

    def sets_at(self, positions: np.ndarray, make: MakeSets) -> Sequence[AnySets]:
        mask = np.zeros(len(self._view.alive), bool)
        mask[self._view.positions[positions]] = True
        pieces = list(self._view.slices(mask))
        if not pieces:
            return []
        with progress("shingles", int(self._view.sizes[mask].sum()), "B", "text") as meter:
            function = _MakeSets(make, self._stage.folder)
            for _, facts in do_parts(self._stage.place.executor, self._stage.records, self._tasks(pieces), function):
                meter.add(facts["utf8_bytes"])
        return [read_sets(_path(self._stage.folder, piece)) for piece in pieces]

    def _tasks(self, pieces: list[Slice]) -> Iterator[Task[Slice]]:
        for piece in pieces:
            key = hash_json([self._identity, piece.content_hash, hash_bytes(piece.mask.tobytes())])
            yield task(self._stage.records, f"sets-{piece.partition.name}", key, piece)

    def on_disk(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return scratch_array(self._stage.folder, shape, dtype)


class _MakeSets:
    """Runs in a worker."""

    def __init__(self, make: MakeSets, folder: Path) -> None:
        self._make, self._folder = make, folder

    def __call__(self, piece: Slice) -> Part:
        texts = piece.texts()
        path = _path(self._folder, piece)
        write_sets(path, self._make(texts))
        return Part({"utf8_bytes": num_bytes(texts)}, [path])


def _path(folder: Path, piece: Slice) -> Path:
    return folder / f"sets-{piece.partition.name}.npz"
