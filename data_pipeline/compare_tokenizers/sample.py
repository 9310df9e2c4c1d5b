"""The text that tokenizers are compared on: a bounded sample of a corpus, or of a finished data folder."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.documents import keys_of
from data_pipeline.executors.executor import Executor
from data_pipeline.preflight.draw import draw, wishes
from data_pipeline.preflight.drawn import Drawn, DrawnSource
from data_pipeline.sources.source import Corpus, Source
from data_pipeline.stages.finished import finished_view
from data_pipeline.stages.inputs import NumberedBlock, group_files
from data_pipeline.tokenize.sample import choose
from foundation.errors import InputError
from foundation.progress import progress

PIECE_BYTES = 1 << 20  # of text that a worker gets at a time
PARSED_BYTES = 8 << 20  # of records that a worker parses at a time


@dataclass(frozen=True, slots=True)
class Sample:
    """Documents, in the order of the corpus.

    Attributes:
        texts: their texts.
        sources: names of the sources; source_of: (n,) int32, the place of each document's.
        held_out: (n,) bool; None where no split was made.
        file_names: by number; files: (n,) int32, rows: (n,) int64, the documents' keys.
        text_bytes: of each source, of the whole corpus, sample or not.
        is_estimate: whether these are told by the part that was read.
        unreadable: records that were not, by reason.
    """

    texts: pa.LargeStringArray
    sources: list[str]
    source_of: np.ndarray
    held_out: np.ndarray | None
    file_names: list[str]
    files: np.ndarray
    rows: np.ndarray
    text_bytes: list[int]
    is_estimate: bool
    unreadable: Counter[str] = field(default_factory=Counter)

    @property
    def sizes(self) -> np.ndarray:
        """UTF-8 bytes of each text, (n,) int64."""
        return np.asarray(pc.binary_length(self.texts), np.int64)

    def named(self, number: int) -> str:
        """Return where a document comes from."""
        source = self.sources[self.source_of[number]]
        return f"{source}: {self.file_names[self.files[number]]}, record {self.rows[number] + 1}"

    def pieces(self) -> Iterator[pa.LargeStringArray]:
        """Yield the texts in runs of about PIECE_BYTES, for workers."""
        for start, stop in runs(self.sizes, PIECE_BYTES):
            yield self.texts[start:stop]


class _Parsed(NamedTuple):
    """Texts with their keys, and the records that are none."""

    texts: pa.LargeStringArray
    files: np.ndarray
    rows: np.ndarray
    unreadable: Counter[str]

    @property
    def sizes(self) -> np.ndarray:
        return np.asarray(pc.binary_length(self.texts), np.int64)

    @classmethod
    def of(cls, parts: Sequence[_Parsed]) -> _Parsed:
        files = np.concatenate([np.zeros(0, np.int32), *(each.files for each in parts)])
        rows = np.concatenate([np.zeros(0, np.int64), *(each.rows for each in parts)])
        unreadable = sum((each.unreadable for each in parts), Counter[str]())
        return cls(_joined([each.texts for each in parts]), files, rows, unreadable)


def runs(sizes: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of runs that cover all, each of `most` bytes or less, or of one longer document."""
    start = held = 0
    for place, size in enumerate(sizes.tolist()):
        if place > start and held + size > most:
            yield start, place
            start, held = place, 0
        held += size
    if start < len(sizes):
        yield start, len(sizes)


def sample_folder(folder: Path, sample_bytes: int, seed: int) -> Sample:
    """Return documents of a finished data folder, chosen uniformly, held-out ones too.

    Args:
        sample_bytes: of text; the last document may exceed it.
    Raises:
        ConfigError: it is no such folder.
        InputError: no document is left in it.
    """
    view = finished_view(folder, "data_dir")
    alive = view.positions
    _require_text(int(view.sizes[alive].sum()), f"data_dir: {folder}")
    chosen = alive[choose(view.files[alive], view.rows[alive], view.sizes[alive], sample_bytes, seed)]
    mask = np.zeros(len(view.alive), bool)
    mask[chosen] = True
    texts: list[pa.LargeStringArray] = []
    with progress("read", int(view.sizes[chosen].sum()), "B", "text") as meter:
        for piece in view.slices(mask):
            texts.append(piece.texts())
            meter.add(int(pc.sum(pc.binary_length(texts[-1])).as_py()))
    names, source_of = view.sources
    text_bytes = [int(view.sizes[view.alive & of_it].sum()) for _, of_it in view.source_masks()]
    return Sample(
        *(_joined(texts), names, source_of[chosen], view.held_out[chosen], view.file_names),
        *(view.files[chosen], view.rows[chosen], text_bytes, False),
    )


def sample_corpus(corpus: Corpus, sample_bytes: int, seed: int, executor: Executor) -> Sample:
    """Return documents of a corpus as its sources give them, before any cleaning.

    Large sources are read in part: blocks spread over their files, as `preflight.draw` draws them.

    Args:
        sample_bytes: of text, shared by the sources as preflight shares them.
    Raises:
        InputError: an input can't be read, or no document has text.
    """
    sources = corpus.sources()
    sizes = [sum(file.size_bytes for file in source.files()) for source in sources]
    parts: list[_Parsed] = []
    text_bytes: list[int] = []
    file_names: list[str] = []
    is_whole = True
    with tempfile.TemporaryDirectory() as scratch:
        for number, wish in enumerate(wishes(1.0, sample_bytes, sample_bytes, seed, sizes)):
            drawn = draw(sources[number], wish, Path(scratch, str(number)))
            budget = math.ceil(wish.most_bytes)
            some = drawn.fewer(max(int(drawn.size // budget), 1))  # what is stored in little may be much
            parsed, names = _parsed(some, executor)
            held = int(parsed.sizes.sum())
            text_bytes.append(held if some.is_all else round(held * drawn.whole / max(some.size, 1)))
            is_whole &= some.is_all
            parts.append(_chosen(parsed, budget, seed, len(file_names)))
            file_names += names
    _require_text(sum(text_bytes), "corpus")
    source_of = np.repeat(np.arange(len(sources), dtype=np.int32), [len(each.rows) for each in parts])
    whole = _Parsed.of(parts)
    return Sample(
        *(whole.texts, [source.name for source in sources], source_of, None, file_names, whole.files, whole.rows),
        *(text_bytes, not is_whole, whole.unreadable),
    )


def _chosen(parsed: _Parsed, budget: int, seed: int, first_file: int) -> _Parsed:
    """Return documents of a source up to a budget in bytes; first_file: number of its first file in the sample."""
    kept = choose(parsed.files, parsed.rows, parsed.sizes, budget, seed) if len(parsed.rows) else np.zeros(0, np.int64)
    files = (parsed.files[kept] + first_file).astype(np.int32)
    return _Parsed(parsed.texts.take(pa.array(kept)), files, parsed.rows[kept], parsed.unreadable)


def _parsed(drawn: Drawn, executor: Executor) -> tuple[_Parsed, list[str]]:
    """Return the documents that were drawn of a source, and the names of its files."""
    source = DrawnSource(drawn)
    groups = group_files([source], PARSED_BYTES)
    with progress("read", drawn.size, "B", "records") as meter:
        partitions = (blocks for group in groups for blocks in group.partitions(PARSED_BYTES, meter.add))
        parts = list(executor.map(_Parse(source), partitions))
    return _Parsed.of(parts), [each.file.name for group in groups for each in group.files]


class _Parse:
    """Runs in a worker."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __call__(self, blocks: list[NumberedBlock]) -> _Parsed:
        parts = []
        for each in blocks:
            parsed = self._source.parse(each.block, each.file.file, each.file.number)
            reasons = Counter(record.reason for record in parsed.quarantined)
            parts.append(_Parsed(parsed.documents.column("text"), *keys_of(parsed.documents), reasons))
        return _Parsed.of(parts)


def _joined(texts: Sequence[pa.LargeStringArray]) -> pa.LargeStringArray:
    return pa.concat_arrays([pa.array([], pa.large_string()), *texts])


def _require_text(num_bytes: int, where: str) -> None:
    if not num_bytes:
        raise InputError(
            f"{where}: there is no text in it; tokenizers are compared on some: give documents that have text"
        )
