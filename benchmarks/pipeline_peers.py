"""The peers of pipeline.py, each in a process of its own: python pipeline_peers.py PEER DOCUMENTS.jsonl SETTINGS.json.

Prints {"seconds", "peak_mb", "version", "note"} as JSON, or {"missing": why}. The seconds hold no import and no reading
of the documents, unless the note says so. Imports nothing of this project: the interpreter may be that of another
environment. Linux only, as it asks /proc for its memory.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

Settings = dict[str, Any]
Measured = tuple[float, str]  # seconds, note


def datatrove_gopher(documents: Path, settings: Settings) -> Measured:
    """datatrove's Gopher quality filter on documents in memory."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import GopherQualityFilter

    texts = read(documents)
    filter_ = GopherQualityFilter()
    passed = 0
    started = time.perf_counter()
    for number, text in enumerate(texts):
        passed += filter_.filter(Document(text=text, id=str(number))) is True
    return time.perf_counter() - started, f"{len(texts) - passed} removed; words by its English tokenizer"


def tokenizers_train(documents: Path, settings: Settings) -> Measured:
    """Byte-level BPE of the same size on the same texts."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    texts = read(documents)
    started = time.perf_counter()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=settings["vocab_size"],
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return time.perf_counter() - started, f"vocabulary {tokenizer.get_vocab_size():,}"


def tokenizers_encode(documents: Path, settings: Settings) -> Measured:
    """encode_batch of all documents with the tokenizer that ours trained, written as one array."""
    import numpy as np
    from tokenizers import Tokenizer

    texts = read(documents)
    tokenizer = Tokenizer.from_file(settings["tokenizer"])
    started = time.perf_counter()
    ids = [np.array(encoding.ids, np.uint16) for encoding in tokenizer.encode_batch_fast(texts)]
    with tempfile.TemporaryDirectory() as name:
        tokens = np.concatenate(ids)
        tokens.tofile(Path(name) / "tokens.bin")
    return time.perf_counter() - started, f"{len(tokens):,} tokens"


PEERS: dict[str, tuple[str, Callable[[Path, Settings], Measured]]] = {
    "datatrove GopherQualityFilter": ("datatrove", datatrove_gopher),
    "tokenizers train": ("tokenizers", tokenizers_train),
    "tokenizers encode_batch_fast": ("tokenizers", tokenizers_encode),
}


def read(documents: Path) -> list[str]:
    """Return the texts."""
    with documents.open() as lines:
        return [json.loads(line)["text"] for line in lines]


def peak_mb() -> float:
    """Return this process's resident memory at its highest; getrusage would count what its parent held at the fork."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e6


def main() -> None:
    """Measure one peer."""
    name, documents, settings = sys.argv[1], Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
    package, measure = PEERS[name]
    try:
        seconds, note = measure(documents, settings)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return
    record = {"seconds": seconds, "peak_mb": peak_mb(), "version": f"{package} {version(package)}", "note": note}
    print(json.dumps(record))


if __name__ == "__main__":
    main()
