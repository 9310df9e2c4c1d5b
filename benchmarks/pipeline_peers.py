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


def datasketch_near(documents: Path, settings: Settings) -> Measured:
    """MinHash and LSH as datasketch's documentation puts them together, with our shingles, permutations and bands."""
    from datasketch import MinHash, MinHashLSH

    texts = read(documents)
    started = time.perf_counter()
    banding = (settings["bands"], settings["rows"])
    lsh = MinHashLSH(num_perm=settings["num_perm"], params=banding)
    kept: dict[int, Any] = {}
    for number, text in enumerate(texts):
        sketch = MinHash(num_perm=settings["num_perm"])
        words = text.lower().split()
        last = max(len(words) - settings["ngram"], 0) + 1
        sketch.update_batch([" ".join(words[i : i + settings["ngram"]]).encode() for i in range(last)])
        if not any(kept[key].jaccard(sketch) >= settings["threshold"] for key in lsh.query(sketch)):
            lsh.insert(number, sketch)
            kept[number] = sketch
    return time.perf_counter() - started, f"{len(texts) - len(kept)} removed, by estimated similarity"


def datatrove_near(documents: Path, settings: Settings) -> Measured:
    """The four steps of datatrove's MinHash deduplication, one after the other in this process, reading and writing."""
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.hashing import HashConfig

    config = MinhashConfig(
        n_grams=settings["ngram"],
        num_buckets=settings["bands"],
        hashes_per_bucket=settings["rows"],
        hash_config=HashConfig(precision=64),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reader = JsonlReader(str(documents.parent), glob_pattern=documents.name)
        steps: list[list[Any]] = [
            [reader, MinhashDedupSignature(str(folder / "signatures"), config=config)],
            [MinhashDedupBuckets(str(folder / "signatures"), str(folder / "buckets"), config=config)],
            [MinhashDedupCluster(str(folder / "buckets"), str(folder / "remove"), config=config)],
            [reader, MinhashDedupFilter(str(folder / "remove")), JsonlWriter(str(folder / "out"), compression=None)],
        ]
        started = time.perf_counter()
        for number, step in enumerate(steps):
            tasks = settings["bands"] if number == 1 else 1  # its buckets are a task each
            LocalPipelineExecutor(step, tasks=tasks, workers=1, logging_dir=str(folder / f"log{number}")).run()
        seconds = time.perf_counter() - started
        left = sum(1 for path in (folder / "out").rglob("*.jsonl") for _ in path.open())
    return seconds, f"{len(read(documents)) - left} removed, candidates not compared; reading and writing included"


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
    "datasketch MinHashLSH": ("datasketch", datasketch_near),
    "datatrove MinHash": ("datatrove", datatrove_near),
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
