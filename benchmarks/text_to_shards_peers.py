"""The peer of text_to_shards.py, in a process of its own: text_to_shards_peers.py FOLDER TOKENIZER.json.

FOLDER has the documents, .jsonl files, one a task. Prints {"seconds", "kept", "tokens", "note"} as JSON. The seconds
hold no import. Imports nothing of this project: the interpreter may be that of another environment.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clean_sides import WORKERS, datatrove_filters


def datatrove(folder: Path, tokenizer: Path) -> dict[str, Any]:
    """Filters, the four stages of MinHash deduplication with datatrove's own settings, tokens; from files to files."""
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.tokens import DocumentTokenizer
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig()
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        filtered = JsonlReader(str(made / "filtered"))
        tokens = DocumentTokenizer(
            str(made / "tokens"),
            tokenizer_name_or_path=str(tokenizer),
            eos_token="<|endoftext|>",
            shuffle_documents=False,
        )
        stages: list[tuple[int, list[Any]]] = [
            (
                WORKERS,
                [JsonlReader(str(folder)), *datatrove_filters(), JsonlWriter(str(made / "filtered"), compression=None)],
            ),
            (WORKERS, [filtered, MinhashDedupSignature(str(made / "signatures"), config=config)]),
            (config.num_buckets, [MinhashDedupBuckets(str(made / "signatures"), str(made / "buckets"), config=config)]),
            (1, [MinhashDedupCluster(str(made / "buckets"), str(made / "remove"), config=config)]),
            (WORKERS, [filtered, MinhashDedupFilter(str(made / "remove")), tokens]),
        ]
        started = time.perf_counter()
        for number, (tasks, steps) in enumerate(stages):
            workers = min(tasks, WORKERS)
            LocalPipelineExecutor(steps, tasks=tasks, workers=workers, logging_dir=str(made / f"log{number}")).run()
        seconds = time.perf_counter() - started
        sizes = [path.stat().st_size for path in (made / "tokens").rglob("*.ds")]
        kept = sum(path.stat().st_size // 8 for path in (made / "tokens").rglob("*.ds.index"))
    return {"seconds": seconds, "kept": kept, "tokens": sum(sizes) // 2, "note": f"datatrove {version('datatrove')}"}


def main() -> None:
    """Measure it."""
    with redirect_stdout(sys.stderr):
        record = datatrove(Path(sys.argv[1]), Path(sys.argv[2]))
    print(json.dumps(record))


if __name__ == "__main__":
    main()
