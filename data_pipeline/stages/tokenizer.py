"""Tokenizer: trained on a bounded sample of the training documents, or given."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.ledger import Book
from data_pipeline.output_dir import CONFIG
from data_pipeline.records import Part
from data_pipeline.shards.manifest import NAME, TOKENIZER
from data_pipeline.stages.stage import Outcome, Stage, Task, Workplace, do_parts, task
from data_pipeline.stages.view import Slice, View
from data_pipeline.storage import write_file
from data_pipeline.tokenize.trainer import PartWork, Sample, TokenizerTrainer
from foundation.hashes import hash_bytes, hash_file, hash_json
from foundation.progress import human
from foundation.text import number_of

_AT_A_TIME = 256  # texts that are made objects


class TrainTokenizer(Stage):
    """Writes tokenizer.json. No document passes through it.

    Args:
        raw: the plain config of `tokenizer`.
    Raises:
        TokenizerError: a given tokenizer is missing or can't be used; said before the long work begins.
    """

    name = "tokenizer"
    title = "tokenizer"
    code = ("tokenize", "stages/tokenizer.py")
    libraries = ("numpy", "pyarrow", "tokenizers")
    vouching = (*Stage.vouching, NAME, CONFIG)
    releases = True

    def __init__(self, place: Workplace, trainer: TokenizerTrainer, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._trainer, self._raw = trainer, raw
        self._inputs = [hash_file(path) for path in trainer.inputs()]
        self._versions = {name: importlib.metadata.version(name) for name in trainer.libraries()}

    @property
    def path(self) -> Path:
        """tokenizer.json in the output folder."""
        return self.place.output_dir / TOKENIZER

    def settings(self) -> Any:
        return {**self._raw, "inputs": self._inputs, "libraries": self._versions}

    def stands(self, facts: dict[str, Any]) -> bool:
        if not self.path.is_file():
            what = "missing; it is made again"
        elif hash_file(self.path) != facts["tokenizer_hash"]:
            what = (
                "is not what this command wrote; it is made again, and what it holds now is lost: to encode by it, "
                "stop now and set tokenizer=file tokenizer.path=<a copy of it> and another name="
            )
        else:
            return True
        print(f"warning: {self.path}: {what}", file=sys.stderr)
        return False

    def leaves(self, view: View, facts: dict[str, Any]) -> View:
        return view  # it decides nothing about documents

    def run(self, view: View, before: Book) -> Outcome:
        training = np.flatnonzero(view.training)
        chosen = training[self._trainer.choose(view.files[training], view.rows[training], view.sizes[training])]
        total = int(view.sizes[chosen].sum())
        tokenizer_json = self._trainer.train_on(_StoredSample(self, view, chosen))
        self.release()  # until here a stop leaves a finished folder as it was
        write_file(self.path, tokenizer_json)
        tokenizer_hash = hash_bytes(tokenizer_json)
        facts = {
            "tokenizer_hash": tokenizer_hash,
            "sha256": self._trainer.sha256(),
            "note": f"{human(total, 'B')} of {number_of(len(chosen), 'document')}" if len(chosen) else "as given",
        }
        return Outcome(tokenizer_hash, {}, [self.path], facts, utf8_bytes=total)


class _StoredSample(Sample):
    """The chosen documents; chosen: (n,) int64 indices."""

    def __init__(self, stage: TrainTokenizer, view: View, chosen: np.ndarray) -> None:
        self._stage, self._view = stage, view
        self._mask = np.zeros(len(view.alive), bool)
        self._mask[chosen] = True
        self.num_bytes, self.folder = int(view.sizes[chosen].sum()), stage.folder

    def texts(self) -> Iterator[str]:
        for piece in self._view.slices(self._mask):
            texts = piece.texts()
            for start in range(0, len(texts), _AT_A_TIME):  # some callers want the first alone
                yield from texts.slice(start, _AT_A_TIME).to_pylist()

    def map(self, work: PartWork) -> Iterator[tuple[Path, dict[str, Any]]]:
        place = self._stage.place
        doing = _OnPartition(work, self.folder)
        for name, facts in do_parts(place.executor, self._stage.records, self._tasks(work), doing):
            yield self.folder / name, facts

    def _tasks(self, work: PartWork) -> Iterator[Task[Slice]]:
        """Yield the partitions; a part depends on nothing that a larger vocabulary, say, would change."""
        settings = hash_json([self._stage.code_hash, work.settings])
        for piece in self._view.slices(self._mask):
            key = hash_json([settings, piece.content_hash, hash_bytes(piece.mask.tobytes())])
            yield task(self._stage.records, piece.partition.name, key, piece)


class _OnPartition:
    """Runs in a worker."""

    def __init__(self, work: PartWork, folder: Path) -> None:
        self._work, self._folder = work, folder

    def __call__(self, piece: Slice) -> Part:
        return self._work(piece.texts(), self._folder / piece.partition.name)
