"""The corpus as the stages so far left it: text as it was written once, after cleaning, seen through later decisions.

A document has an *index*: its place among all that cleaning left, in corpus order, then among the copies that were
added to them; it never changes. Its *position* is its place among those that are still in: what a global stage counts
by.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.documents import SCHEMA, SNIPPET_CHARS, keys_of, parents_of
from data_pipeline.stages.cuts import Cuts
from data_pipeline.storage import read_arrays, read_batch, write_arrays, write_batch
from foundation.hashes import hash_json

CACHE_BYTES = 512 << 20  # of decompressed text, while duplicates are compared
CLEAN = "clean"  # the folder of the text
SCORES = "scores"  # in its facts: the hash of each partition's scores


@dataclass(frozen=True, slots=True)
class Partition:
    """One stored partition: a run of documents of one source.

    Attributes:
        name: `<group>-<number>`, e.g. `00003-00000`; names its files in every stage.
        batch_hash: of its Arrow file.
        stage: which wrote it.
    """

    name: str
    source: str
    num_docs: int
    utf8_bytes: int
    batch_hash: str
    stage: str = CLEAN


@dataclass(frozen=True, slots=True)
class Slice:
    """Some documents of one partition; small, so that it can be sent to a worker, which loads them itself.

    Attributes:
        mask: (docs of the partition,) bool: which of them.
        first_index: index of the partition's first document.
        cuts: what stages took out of their texts, in the order of the stages; documents are rows of the partition.
    """

    partition: Partition
    path: Path
    mask: np.ndarray
    first_index: int
    cuts: tuple[Cuts, ...] = ()

    @property
    def content_hash(self) -> str:
        """Hash of the partition's texts as they now are: what work on them depends on, beside the mask."""
        cut = [cuts.hash() for cuts in self.cuts]
        return hash_json([self.partition.batch_hash, cut]) if cut else self.partition.batch_hash

    @property
    def span(self) -> slice:
        """Indices of the partition's documents, these and the others."""
        return slice(self.first_index, self.first_index + self.partition.num_docs)

    def load(self, *columns: str) -> pa.RecordBatch:
        """Return these documents, documents.SCHEMA.

        Args:
            columns: all that is decompressed and returned, `text` among them; none for all there are.
        """
        batch = read_batch(self.path, self.partition.batch_hash, *columns)
        for cuts in self.cuts:
            texts = cuts.apply(batch.column("text"))
            batch = batch.set_column(batch.schema.get_field_index("text"), SCHEMA.field("text"), texts)
        return batch if self.mask.all() else batch.filter(pa.array(self.mask))

    def metadata(self) -> pa.LargeStringArray:
        """Return their metadata, without decompressing the texts."""
        metadata = read_batch(self.path, self.partition.batch_hash, "metadata").column("metadata")
        return metadata.filter(pa.array(self.mask))

    def texts(self) -> pa.LargeStringArray:
        """Return their texts, without decompressing anything else."""
        texts = read_batch(self.path, self.partition.batch_hash, "text").column("text")
        for cuts in self.cuts:
            texts = cuts.apply(texts)
        return texts if self.mask.all() else texts.filter(pa.array(self.mask))

    def indices(self) -> np.ndarray:
        """Return their indices, (n,) int64."""
        return np.flatnonzero(self.mask) + self.first_index


class View:
    """All documents, and which are still in. Reads files at first use.

    Args:
        work: the pipeline's work folder.
        partitions: in corpus order.
        file_names: name of each input file by its number.
        decided: the stages whose decisions apply.
    """

    def __init__(
        self, work: Path, partitions: list[Partition], file_names: list[str], decided: tuple[str, ...] = ()
    ) -> None:
        self.work, self.partitions, self.file_names, self.decided = work, partitions, file_names, decided

    def after(self, stage: str) -> View:
        """Return the corpus as `stage` leaves it."""
        return View(self.work, self.partitions, self.file_names, (*self.decided, stage))

    def with_added(self, partitions: list[Partition]) -> View:
        """Return the corpus with more documents behind those that there are; they are there to train on."""
        return View(self.work, [*self.partitions, *partitions], self.file_names, self.decided)

    def before(self, stage: str) -> View:
        """Return the corpus as `stage`, whose decision applies, found it."""
        return View(self.work, self.partitions, self.file_names, self.decided[: self.decided.index(stage)])

    @cached_property
    def starts(self) -> np.ndarray:
        """Index of each partition's first document, then their number: (partitions + 1,) int64."""
        starts: np.ndarray = np.cumsum([0, *(partition.num_docs for partition in self.partitions)], dtype=np.int64)
        return starts

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        parts = [read_arrays(keys_path(self.work, partition.name, partition.stage)) for partition in self.partitions]
        return {name: np.concatenate([part[name] for part in parts]) for name in ("files", "rows", "sizes")}

    @property
    def files(self) -> np.ndarray:
        """File number by index, (n,) int32."""
        return self._columns["files"]

    @property
    def rows(self) -> np.ndarray:
        """Row in its file by index, (n,) int64."""
        return self._columns["rows"]

    @cached_property
    def sizes(self) -> np.ndarray:
        """UTF-8 bytes of the text as it now is, by index, (n,) int64."""
        sizes = self._columns["sizes"]
        for cuts in self._cuts:
            sizes = sizes - cuts.num_bytes(len(sizes))
        return sizes

    @cached_property
    def _cuts(self) -> list[Cuts]:
        """What the stages cut, in their order; those that cut nothing left out."""
        found = [Cuts.of(self._decision(stage)) for stage in self.decided]
        return [cuts for cuts in found if len(cuts)]

    @cached_property
    def alive(self) -> np.ndarray:
        """Which documents are still in, by index: (n,) bool."""
        alive = np.ones(self.starts[-1], bool)
        for stage in self.decided:
            alive[self._decision(stage).get("gone", [])] = False
        return alive

    @cached_property
    def held_out(self) -> np.ndarray:
        """Which documents are held out for validation, by index: (n,) bool; all False before the split."""
        held_out = np.zeros(self.starts[-1], bool)
        for stage in self.decided:
            held_out[self._decision(stage).get("held_out", [])] = True
        still: np.ndarray = held_out & self.alive
        return still

    @cached_property
    def components(self) -> tuple[list[str], np.ndarray]:
        """The components of the mixture, and the place among them of each document that is in, by index: (n,) int32.

        They are the sources, unless the split found groups of documents in these. A copy is of its document's.
        """
        for stage in self.decided:
            decision = self._decision(stage)
            if "components" in decision:
                known = decision["components"]  # the copies came later
                if len(known) < self.starts[-1]:
                    known = np.concatenate([known, known[parents_of(self.files, self.rows, len(known))]])
                return decision["component_names"].tolist(), known
        return self.sources

    @property
    def training(self) -> np.ndarray:
        """Which documents are there to train on, by index: (n,) bool."""
        training: np.ndarray = self.alive & ~self.held_out
        return training

    @cached_property
    def positions(self) -> np.ndarray:
        """The index at each position, (documents still in,) int64."""
        return np.flatnonzero(self.alive)

    def slices(self, mask: np.ndarray) -> Iterator[Slice]:
        """Yield the chosen documents by partition, those without one left out.

        Args:
            mask: (n,) bool by index.
        """
        for number, (start, stop) in enumerate(itertools.pairwise(self.starts.tolist())):
            if mask[start:stop].any():
                yield self.piece(number, mask[start:stop])

    def piece(self, number: int, mask: np.ndarray) -> Slice:
        """Return some documents of a partition; mask: (docs of the partition,) bool."""
        partition, start = self.partitions[number], int(self.starts[number])
        cuts = tuple(here for cuts in self._cuts if len(here := cuts.within(start, start + partition.num_docs)))
        return Slice(partition, batch_path(self.work, partition.name, partition.stage), mask, start, cuts)

    @cached_property
    def sources(self) -> tuple[list[str], np.ndarray]:
        """The sources in order, and the place among them of each document's, by index: (n,) int32."""
        sources = list(dict.fromkeys(partition.source for partition in self.partitions))
        numbers = np.array([sources.index(partition.source) for partition in self.partitions], np.int32)
        return sources, np.repeat(numbers, np.diff(self.starts))  # of the names themselves it would be 4 bytes a letter

    def source_masks(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (source, (n,) bool: its documents, in or out), each source once, in order."""
        sources, of_document = self.sources
        for number, source in enumerate(sources):
            yield source, of_document == number

    def num_left(self, chosen: np.ndarray) -> dict[str, int]:
        """Return how many of the chosen documents each source has; chosen: (n,) bool by index."""
        return {source: int((chosen & mask).sum()) for source, mask in self.source_masks()}

    def _decision(self, stage: str) -> dict[str, np.ndarray]:
        return read_arrays(decision_path(self.work, stage))


class TextReader:
    """Texts at any positions, with the partitions used last kept decompressed."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._cache: OrderedDict[int, pa.LargeStringArray] = OrderedDict()

    def __call__(self, positions: np.ndarray) -> list[str]:
        """Return the texts at these positions, in their order.

        Args:
            positions: (m,) int64.
        """
        indices = self._view.positions[positions]
        numbers = np.searchsorted(self._view.starts, indices, side="right") - 1
        texts: list[str] = [""] * len(indices)
        for number in np.unique(numbers).tolist():
            where = np.flatnonzero(numbers == number)
            rows = pa.array(indices[where] - self._view.starts[number])
            for place, text in zip(where.tolist(), self._texts(number).take(rows).to_pylist(), strict=True):
                texts[place] = text
        return texts

    def _texts(self, number: int) -> pa.LargeStringArray:
        if number not in self._cache:
            everything = np.ones(self._view.partitions[number].num_docs, bool)
            self._cache[number] = self._view.piece(number, everything).texts()
        self._cache.move_to_end(number)
        while len(self._cache) > 1 and sum(texts.nbytes for texts in self._cache.values()) > CACHE_BYTES:
            self._cache.popitem(last=False)
        return self._cache[number]


def write_partition(work: Path, name: str, source: str, batch: pa.RecordBatch, stage: str = CLEAN) -> Partition:
    """Write a partition, its text and its keys; batch: documents.SCHEMA. The files are `batch_path` and `keys_path`."""
    batch_hash = write_batch(batch_path(work, name, stage), batch)
    sizes = np.asarray(pc.binary_length(batch.column("text")), np.int64)
    files, rows = keys_of(batch)
    write_arrays(keys_path(work, name, stage), {"files": files, "rows": rows, "sizes": sizes})
    return Partition(name, source, batch.num_rows, int(sizes.sum()), batch_hash, stage)


def snippets(texts: pa.LargeStringArray) -> list[str]:
    """Return the beginning of each text."""
    return pc.utf8_slice_codeunits(texts, 0, SNIPPET_CHARS).to_pylist()  # type: ignore[no-any-return]


def num_bytes(texts: pa.LargeStringArray) -> int:
    """Return the UTF-8 bytes of all texts."""
    return int(pc.sum(pc.binary_length(texts)).as_py() or 0)


def batch_path(work: Path, partition: str, stage: str = CLEAN) -> Path:
    """Return the Arrow file of a partition that a stage wrote."""
    return work / stage / f"{partition}.arrow"


def keys_path(work: Path, partition: str, stage: str = CLEAN) -> Path:
    """Return the file of a partition's keys and sizes."""
    return work / stage / f"{partition}.npz"


def scores_path(work: Path, partition: str) -> Path:
    """Return the file of what the rules measured of a partition's documents: `clean.rules.Scores`."""
    return work / CLEAN / f"{partition}.scores.npz"


def decision_path(work: Path, stage: str) -> Path:
    """Return the file of what a stage decided: `gone` or `held_out`, (m,) int64 indices; `Cuts.arrays`; `components`,
    (n,) int32 by index, and `component_names`, (components,) text."""
    return work / stage / "decision.npz"
