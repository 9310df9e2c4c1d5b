"""What a pipeline's work folder still knows of a document: which one it is, its text, what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_pipeline.augment.copies import COPY
from data_pipeline.documents import COPY_SHIFT
from data_pipeline.inspection.errors import InspectionError
from data_pipeline.inspection.position import Position
from data_pipeline.output_dir import WORK
from data_pipeline.records import Records
from data_pipeline.shards.manifest import SPLITS
from data_pipeline.stages.augment import AUGMENT
from data_pipeline.stages.cuts import Cuts
from data_pipeline.stages.view import CLEAN, Partition, View, decision_path, scores_path
from data_pipeline.storage import read_arrays

# the stages that decide which documents stay, in their order
DECIDING = ("filter", "exact", "near", "paragraphs", "split", "decontaminate", "sample")
CUTTING = ("paragraphs", "decontaminate")


@dataclass(frozen=True, slots=True)
class Cut:
    """What a stage cut out of one text. Attributes: start, stop: UTF-8 bytes in the text as the stage saw it."""

    start: int
    stop: int


class Work:
    """The finished stages of a data folder.

    Args:
        data_dir: with a work folder.
    Raises:
        InspectionError: there is none, or not of a finished run.
        DamagedFile: a record is not what was written.
    """

    def __init__(self, data_dir: Path) -> None:
        self._work = data_dir / WORK
        self._data_dir = data_dir
        if not self._work.is_dir():
            raise InspectionError(f"{self._work} is gone")
        missing = [stage for stage in (CLEAN, *DECIDING) if not (self._work / stage / "stage.json").is_file()]
        if missing:
            raise InspectionError(f"{self._work}: holds no finished stage {missing[0]}")
        facts = self.facts(CLEAN)
        partitions = [Partition(**each) for each in [*facts["partitions"], *self.facts(AUGMENT)["partitions"]]]
        self.view = View(self._work, partitions, facts["file_names"], DECIDING)

    def facts(self, stage: str) -> dict[str, Any]:
        """Return what a finished stage wrote down."""
        facts: dict[str, Any] = Records(self._work / stage, self._data_dir).facts("stage")["facts"]
        return facts

    def files(self, stage: str) -> list[Path]:
        """Return the files that a finished stage wrote, be they there or not."""
        return Records(self._work / stage, self._data_dir).files("stage")

    def document(self, position: Position) -> Document:
        """Return the document at a position of shards that hold a source's documents in the order of the corpus.

        Raises:
            InspectionError: these shards are not those that this work folder is of.
        """
        indices = np.flatnonzero(self._chosen(position))
        number = position.before + position.document
        if number >= len(indices):
            raise InspectionError(
                f"{self._work}: is of another run: it has {len(indices):,} documents of {position.source!r} in "
                f"{position.split}, the position is in document {number:,}"
            )
        return Document(self, int(indices[number]))

    def find(self, position: Position, file: str, row: int, identifier: str) -> Document:
        """Return the document of a source and split by where it comes from, in whatever order the shards hold it.

        Raises:
            InspectionError: there is none.
        """
        view = self.view
        numbers = [number for number, name in enumerate(view.file_names) if name == file]
        mine = (view.rows & (1 << COPY_SHIFT) - 1) == row
        for index in np.flatnonzero(self._chosen(position) & mine & np.isin(view.files, numbers)).tolist():
            document = Document(self, index)  # it, or a copy of it
            if document.record["id"] == identifier:
                return document
        raise InspectionError(
            f"{self._work}: is of another run: it has no document {identifier} of {file}, row {row:,}"
        )

    def _chosen(self, position: Position) -> np.ndarray:
        """Return which documents are of a position's source and split, by index, (n,) bool."""
        view = self.view
        names, components = view.components
        number = names.index(position.source) if position.source in names else -1
        chosen: np.ndarray = (view.held_out if position.split == SPLITS[1] else view.training) & (components == number)
        return chosen


@dataclass(frozen=True)
class Document:
    """One document. Attributes: index: its place among all cleaned ones and their copies."""

    work: Work
    index: int

    @property
    def file(self) -> str:
        """The name of its file, as in the input."""
        return self.work.view.file_names[self.file_number]

    @property
    def file_number(self) -> int:
        """The number of its file in the corpus."""
        return int(self.work.view.files[self.index])

    @property
    def row(self) -> int:
        """Its row in the file; a copy's is its document's."""
        return int(self.work.view.rows[self.index]) & (1 << COPY_SHIFT) - 1

    @property
    def copy(self) -> int:
        """Which copy of its document it is, from 1; 0: it is none."""
        return int(self.work.view.rows[self.index]) >> COPY_SHIFT

    @property
    def copy_of(self) -> str | None:
        """The id of the document that it is a copy of; None: it is none."""
        if not self.copy:
            return None
        identifier: str = orjson.loads(self.record["metadata"])[COPY]["id"]
        return identifier

    @property
    def original(self) -> Document:
        """The document that it is a copy of; itself where it is none."""
        if not self.copy:
            return self
        view = self.work.view
        (index,) = np.flatnonzero((view.files == self.file_number) & (view.rows == self.row)).tolist()
        return Document(self.work, index)

    @cached_property
    def partition(self) -> Partition:
        """The partition that it lies in."""
        return self.work.view.partitions[self._number]

    @cached_property
    def record(self) -> dict[str, Any]:
        """Its columns, documents.SCHEMA, the text as it went into the shards."""
        mask = np.zeros(self.partition.num_docs, bool)
        mask[self._place] = True
        (found,) = self.work.view.piece(self._number, mask).load().to_pylist()
        record: dict[str, Any] = found
        return record

    @cached_property
    def cleaned_text(self) -> str:
        """Its text as cleaning left it, before anything was cut out of it."""
        mask = np.zeros(self.partition.num_docs, bool)
        mask[self._place] = True
        text: str = self.work.view.before(DECIDING[0]).piece(self._number, mask).texts()[0].as_py()
        return text

    def scores(self) -> dict[str, float]:
        """Return what the rules measured of it, by score; it is no copy."""
        arrays = read_arrays(scores_path(self.work.view.work, self.partition.name))
        return {name: float(values[self._place]) for name, values in arrays.items()}

    def cuts(self, stage: str) -> list[Cut]:
        """Return what a stage cut out of it."""
        cuts = Cuts.of(read_arrays(decision_path(self.work.view.work, stage))).within(self.index, self.index + 1)
        return [Cut(start, stop) for start, stop in zip(cuts.starts.tolist(), cuts.stops.tolist(), strict=True)]

    @cached_property
    def _number(self) -> int:
        return int(np.searchsorted(self.work.view.starts, self.index, side="right")) - 1

    @cached_property
    def _place(self) -> int:
        return self.index - int(self.work.view.starts[self._number])
