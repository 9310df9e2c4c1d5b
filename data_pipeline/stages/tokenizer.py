"""Tokenizer: trained on a bounded sample of the training documents, or given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.ledger import Book
from data_pipeline.shards.manifest import TOKENIZER
from data_pipeline.stages.stage import Outcome, Stage, Workplace
from data_pipeline.stages.view import View
from data_pipeline.storage import write_file
from data_pipeline.tokenize.trainer import TokenizerTrainer
from foundation.hashes import hash_bytes, hash_file
from foundation.progress import human
from foundation.text import number_of


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
    libraries = ("numpy", "tokenizers")

    def __init__(self, place: Workplace, trainer: TokenizerTrainer, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._trainer, self._raw = trainer, raw
        self._inputs = [hash_file(path) for path in trainer.inputs()]

    @property
    def path(self) -> Path:
        """tokenizer.json in the output folder."""
        return self.place.output_dir / TOKENIZER

    def settings(self) -> Any:
        return {**self._raw, "inputs": self._inputs}

    def stands(self, facts: dict[str, Any]) -> bool:
        stands: bool = hash_file(self.path) == facts["tokenizer_hash"]
        return stands

    def leaves(self, view: View, facts: dict[str, Any]) -> View:
        return view  # it decides nothing about documents

    def run(self, view: View, before: Book) -> Outcome:
        training = np.flatnonzero(view.training)
        chosen = training[self._trainer.choose(view.files[training], view.rows[training], view.sizes[training])]
        total = int(view.sizes[chosen].sum())
        tokenizer_json = self._trainer.train(_texts(view, chosen), total)
        write_file(self.path, tokenizer_json)
        tokenizer_hash = hash_bytes(tokenizer_json)
        facts = {
            "tokenizer_hash": tokenizer_hash,
            "sha256": self._trainer.sha256(),
            "note": f"{human(total, 'B')} of {number_of(len(chosen), 'document')}",
        }
        return Outcome(tokenizer_hash, {}, [self.path], facts, utf8_bytes=total)


def _texts(view: View, indices: np.ndarray) -> Iterator[str]:
    mask = np.zeros(len(view.alive), bool)
    mask[indices] = True
    for piece in view.slices(mask):
        yield from piece.texts().to_pylist()
