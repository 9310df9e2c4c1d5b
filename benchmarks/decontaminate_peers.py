"""The peers of decontaminate.py, each in a process of its own: python decontaminate_peers.py PEER FOLDER [JANITOR.py].

The folder holds documents.jsonl and items.jsonl. Prints {"seconds", "peak_mb", "version", "removed"} as JSON, or
{"missing": why}. The seconds are the processor's, which other work disturbs less, and hold neither imports, nor
reading, nor what is made of the test items. Imports nothing of this project: the interpreter may be that of another
environment. Linux only, as it asks /proc for its memory.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

NGRAM = 13
Measured = tuple[float, list[int], str]  # seconds, documents that it finds, version


def datatrove(documents: list[str], items: list[str]) -> Measured:
    """NGramsDecontFilter as it is, with n-grams of our length; the index written as its indexer writes it, which itself
    needs lighteval."""
    import numpy as np
    from datatrove.data import Document
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
    from datatrove.utils.text import ngrams, simplify_text

    config = NGramsDecontConfig(n_grams=NGRAM)
    with tempfile.TemporaryDirectory() as folder:
        filter_ = NGramsDecontFilter(folder, config=config)
        hashes = {
            filter_.hash_func(" ".join(ngram))
            for item in items
            for ngram in ngrams(filter_.tokenizer.word_tokenize(simplify_text(item, config.norm_config)), NGRAM)
        }
        np.array(sorted(hashes), config.hash_config.np_descr).tofile(Path(folder) / "items.index.hashes")
        filter_.filter(Document(text="loads the index", id="0"))
        started = time.process_time()
        found = [at for at, text in enumerate(documents) if filter_.filter(Document(text=text, id=str(at))) is not True]
        return time.process_time() - started, found, f"datatrove {version('datatrove')}"


def janitor(documents: list[str], items: list[str]) -> Measured:
    """The Janitor of lm-evaluation-harness in Python, as it is by default: what it changes, it has found."""
    spec = importlib.util.spec_from_file_location("janitor", sys.argv[3])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cleaner = module.Janitor(ngram_n=NGRAM)
    for item in items:
        cleaner.register_contaminant_python(item)
    started = time.process_time()
    found = [at for at, text in enumerate(documents) if cleaner.clean_python(text) != [text]]
    return time.process_time() - started, found, "lm-eval janitor"


PEERS = {"datatrove NGramsDecontFilter": datatrove, "lm-eval Janitor": janitor}


def read(path: Path) -> list[str]:
    """Return the texts."""
    with path.open() as lines:
        return [json.loads(line)["text"] for line in lines]


def peak_mb() -> float:
    """Return this process's resident memory at its highest."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e6


def main() -> None:
    """Measure one peer."""
    folder = Path(sys.argv[2])
    try:
        seconds, removed, name = PEERS[sys.argv[1]](read(folder / "documents.jsonl"), read(folder / "items.jsonl"))
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb(), "version": name, "removed": removed}))


if __name__ == "__main__":
    main()
