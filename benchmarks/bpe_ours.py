"""Our side of bpe.py: what the pipeline's stage does, on files of JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from data_pipeline.executors.libraries import prepare_libraries
from data_pipeline.executors.local import Local
from data_pipeline.tokenize.bpe import ByteLevelBPE
from data_pipeline.tokenize.split import SplitName
from data_pipeline.tokenize.trainer import PartWork, Sample


class Files(Sample):
    """Documents in files, which stand for partitions."""

    def __init__(self, paths: list[Path], folder: Path, workers: int) -> None:
        self._paths, self.folder, self._workers = paths, folder, workers
        self.num_bytes = sum(path.stat().st_size for path in paths)

    def texts(self) -> Iterator[str]:
        for path in self._paths:
            with path.open("rb") as lines:
                for line in lines:
                    yield orjson.loads(line)["text"]

    def map(self, work: PartWork) -> Iterator[tuple[Path, dict[str, Any]]]:
        with Local(self._workers) as executor:
            yield from executor.map(_OnFile(work, self.folder), self._paths)


class _OnFile:
    """Runs in a worker."""

    def __init__(self, work: PartWork, folder: Path) -> None:
        self._work, self._folder = work, folder

    def __call__(self, path: Path) -> tuple[Path, dict[str, Any]]:
        prefix = self._folder / path.stem
        with path.open("rb") as lines:
            texts = pa.array([orjson.loads(line)["text"] for line in lines], pa.large_string())
        return prefix, self._work(texts, prefix).facts


def train(split: SplitName, vocab_size: int, paths: list[Path], folder: Path, workers: int) -> bytes:
    """Return the tokenizer.json of the documents; folder: for counts."""
    prepare_libraries()  # as the command of the pipeline does
    return ByteLevelBPE(vocab_size, split).train_on(Files(paths, folder, workers))
