"""The peers of near_duplicates.py, each in a process of its own: near_duplicates_peers.py PEER FOLDER SETTINGS.json.

The folder holds the documents, .jsonl files in order. Prints {"seconds", "kept", "note"} as JSON, `kept` the numbers of
the documents that stay, or {"missing": why}. The seconds hold no import. Imports nothing of this project: the
interpreter may be that of another environment.
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

TASKS = 2  # datatrove's, and its workers; it gives a file to one task whole
Settings = dict[str, Any]
Measured = tuple[float, list[int], str]  # seconds, numbers of the documents that stay, note


def datasketch(folder: Path, settings: Settings) -> Measured:
    """MinHash and LSH as datasketch's documentation puts them together, with our shingles, permutations and bands."""
    from datasketch import MinHash, MinHashLSH

    texts = [text for path in sorted(folder.iterdir()) for text in read(path)]
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
    return time.perf_counter() - started, list(kept), "by estimated similarity; documents in memory"


def datatrove_as_it_is(folder: Path, settings: Settings) -> Measured:
    """datatrove with its own numbers of buckets and hashes."""
    return datatrove(folder, {})


def datatrove_our_bands(folder: Path, settings: Settings) -> Measured:
    """datatrove with as many buckets and hashes as we have bands and rows."""
    return datatrove(folder, {"num_buckets": settings["bands"], "hashes_per_bucket": settings["rows"]})


def datatrove(folder: Path, banding: dict[str, int]) -> Measured:
    """The four stages of datatrove's MinHash deduplication, one after the other, from files to files."""
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig(**banding)
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        reader = JsonlReader(str(folder))
        stages: list[tuple[int, list[Any]]] = [
            (TASKS, [reader, MinhashDedupSignature(str(made / "signatures"), config=config)]),
            (config.num_buckets, [MinhashDedupBuckets(str(made / "signatures"), str(made / "buckets"), config=config)]),
            (1, [MinhashDedupCluster(str(made / "buckets"), str(made / "remove"), config=config)]),
            (
                TASKS,
                [reader, MinhashDedupFilter(str(made / "remove")), JsonlWriter(str(made / "out"), compression=None)],
            ),
        ]
        started = time.perf_counter()
        for number, (tasks, steps) in enumerate(stages):
            workers = min(tasks, TASKS)
            LocalPipelineExecutor(steps, tasks=tasks, workers=workers, logging_dir=str(made / f"log{number}")).run()
        seconds = time.perf_counter() - started
        paths = sorted((made / "out").rglob("*.jsonl"))
        kept = [int(json.loads(line)["id"]) for path in paths for line in path.open()]
    return seconds, kept, f"{config.num_buckets} buckets of {config.hashes_per_bucket}, its own words; not compared"


PEERS: dict[str, tuple[str, Callable[[Path, Settings], Measured]]] = {
    "datatrove, 4 stages": ("datatrove", datatrove_as_it_is),
    "datatrove, our bands": ("datatrove", datatrove_our_bands),
    "datasketch MinHashLSH": ("datasketch", datasketch),
}


def read(documents: Path) -> list[str]:
    """Return the texts."""
    with documents.open() as lines:
        return [json.loads(line)["text"] for line in lines]


def main() -> None:
    """Measure one peer."""
    name, folder, settings = sys.argv[1], Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
    package, measure = PEERS[name]
    try:
        seconds, kept, note = measure(folder, settings)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return
    print(json.dumps({"seconds": seconds, "kept": kept, "note": f"{package} {version(package)}, {note}"}))


if __name__ == "__main__":
    main()
