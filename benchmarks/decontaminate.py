"""Decontamination's seconds, memory and recall beside peers', on the same documents in the same call.

    pip install 'datatrove[processing]' spacy
    python benchmarks/decontaminate.py --input peps.jsonl --janitor janitor.py --out PAGE.md

Paragraphs of every twentieth document are the test items, those of 8 to 200 words and those of 30 to 200, and that
document is left out; copies of each kind of data_pipeline.decontaminate.planted, and one with every twentieth word
changed, stand between paragraphs of the others. `--janitor` is the file
lm_eval/decontamination/janitor.py of lm-evaluation-harness. Each side runs in a process of its own, in turns, on one
core; documents and index are in memory before the clock starts, and the seconds are the processor's. Of a page that is
there what begins with REMARKS stays.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from decontaminate_peers import PEERS, peak_mb, read
from table import commit_of, cpu_name, ratio, spread, table

from data_pipeline.decontaminate.index import words_of
from data_pipeline.decontaminate.ngram import NGram
from data_pipeline.decontaminate.planted import COPIES
from data_pipeline.decontaminate.verdicts import removed_rows
from data_pipeline.sources.jsonl import Jsonl

OURS = "groundwork"
REPOSITORY = Path(__file__).resolve().parent.parent
REMARKS = "**What they show.**"  # begins what people write on the page
MOST_ITEMS = 200
ITEM_WORDS = ((8, 200), (30, 200))  # questions are short; long items alone
Record = dict[str, Any]


def _edited(text: str) -> str:
    """Every twentieth word is another."""
    return " ".join(word if at % 20 else "changed" for at, word in enumerate(text.split(), start=1))


COMMAND = """```
pip install 'datatrove[processing]' spacy
python benchmarks/decontaminate.py --input peps.jsonl --janitor janitor.py --out docs/benchmarks/decontaminate_cpu.md
```"""
KINDS = {**COPIES, "edited": _edited}


def main() -> None:
    """Read the command line, measure, print the tables and write them."""
    options = _options()
    if options.measure_ours:
        print(json.dumps(measure_ours(options.measure_ours)))
        return
    parts = [part for item_words in ITEM_WORDS for part in measure(item_words, options)]
    text = "\n\n".join(["# Decontamination", *parts, _notes(options), COMMAND]) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text + remarks_of(options.out))


def remarks_of(page: Path) -> str:
    """Return what people wrote on a page, with the line before it; nothing where there is none."""
    _, begin, remarks = (page.read_text() if page.is_file() else "").partition(REMARKS)
    return f"\n{begin}{remarks}" if begin else ""


def measure(item_words: tuple[int, int], options: argparse.Namespace) -> list[str]:
    """Measure all sides in turns; return a sentence and a table.

    Args:
        item_words: of the items, the fewest and the most.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = write_inputs(options.input, options.max_bytes, item_words, folder)
        records: dict[str, list[Record]] = {side: [] for side in (OURS, *PEERS)}
        for _ in range(options.repeats):
            for side, measured in records.items():
                measured.append(run(side, folder, options))
                print(f"{side}: {measured[-1].get('seconds', measured[-1])}", file=sys.stderr)
        size = sum(len(text.encode()) for text in read(folder / "documents.jsonl"))
        num_items = len(read(folder / "items.jsonl"))
    return [_title(options.input, kinds, size, num_items, item_words), report(records, kinds, size)]


def write_inputs(path: Path, max_bytes: int, item_words: tuple[int, int], folder: Path) -> list[str]:
    """Write the documents and the items; return of each document the kind of the copy in it, empty where there is none.

    Args:
        max_bytes: of the documents that are taken.
        item_words: of the items, the fewest and the most.
    """
    source = Jsonl([str(path)])
    batches = [
        source.parse(block, file, 0).documents for file in source.files() for block in source.blocks(file, 1 << 26)
    ]
    texts = [text for batch in batches for text in batch.column("text").to_pylist()]
    last = int(np.searchsorted(np.cumsum([len(text.encode()) for text in texts]), max_bytes))
    tests, training = texts[0:last:20], [text for at, text in enumerate(texts[:last]) if at % 20]
    paragraphs = [part for text in tests for part in re.split(r"\n\s*\n", text)]
    fit = [part for part in dict.fromkeys(paragraphs) if item_words[0] <= len(part.split()) <= item_words[1]]
    items = fit[:: max(1, len(fit) // MOST_ITEMS)][:MOST_ITEMS]
    fillers = [text[:2000] for text in training if len(text) > 4000]
    documents = [(text, "") for text in training]
    for kind, copy in KINDS.items():
        for at, item in enumerate(items):
            filler = fillers[at % len(fillers)]
            documents.append((f"{filler[:1000]}\n\n{copy(item)}\n\n{filler[1000:]}", kind))
    (folder / "num_training.json").write_text(json.dumps(len(training)))
    _write(folder / "documents.jsonl", [text for text, _ in documents])
    _write(folder / "items.jsonl", items)
    return [kind for _, kind in documents]


def _write(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def measure_ours(folder: Path) -> Record:
    """Find, count and judge with the default settings, in this process."""
    documents, items = read(folder / "documents.jsonl"), read(folder / "items.jsonl")
    decontaminator = NGram()
    index = decontaminator.build(words_of(pa.array(items, pa.large_string())))
    # the kernels and tables are loaded, those too that only a long text with marks needs
    decontaminator.find(index, pa.array([documents[0], "e\u0301" * 200], pa.large_string()))
    started = time.process_time()
    found = decontaminator.find(index, pa.array(documents, pa.large_string()))
    # as in the self-test of every run, the planted copies make no phrase a common one
    in_training = found.documents < json.loads((folder / "num_training.json").read_text())
    frequencies = np.bincount(found.ngrams[in_training], minlength=index.num_ngrams)
    held = decontaminator.judge(index, decontaminator.counting(index, frequencies), found)
    removed = held.documents[removed_rows(held)].tolist()
    seconds = time.process_time() - started
    return {"seconds": seconds, "peak_mb": peak_mb(), "version": commit_of(REPOSITORY), "removed": removed}


def run(side: str, folder: Path, options: argparse.Namespace) -> Record:
    """Measure one side in a process of its own."""
    here = Path(__file__).resolve().parent
    command = [options.peer_python, str(here / "decontaminate_peers.py"), side, str(folder)]
    if side == OURS:
        command = [sys.executable, str(here / "decontaminate.py"), "--measure-ours", str(folder)]
    elif PEERS[side].__name__ == "janitor":
        if options.janitor is None:
            return {"missing": "--janitor names no file"}
        command.append(str(options.janitor))
    one_core = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(here.parent)}
    if side != OURS:
        one_core.pop("PYTHONPATH")
    done = subprocess.run(command, capture_output=True, text=True, env=one_core, check=False)
    if done.returncode:
        raise SystemExit(f"{side}: {done.stderr[-2000:]}")
    record: Record = json.loads(done.stdout.splitlines()[-1])
    return record


def report(records: dict[str, list[Record]], kinds: list[str], size: int) -> str:
    """Return the table: speed, memory, recall by kind, and what goes that holds no copy."""
    planted = Counter(kinds)
    rows = [["", "MB/s", "peak MB", "ours is faster", *(f"{kind} found" for kind in KINDS), "others removed"]]
    ours = [record["seconds"] for record in records[OURS]]
    for side, measured in records.items():
        if "missing" in measured[0]:
            rows.append([f"{side}: not measured, {measured[0]['missing']}", *[""] * (len(rows[0]) - 1)])
            continue
        seconds = [record["seconds"] for record in measured]
        found = Counter(kinds[at] for at in measured[0]["removed"])
        recall = [f"{found[kind] / planted[kind]:.1%}" for kind in KINDS]
        times = f"{ratio(seconds, ours):,.1f}x" if side != OURS else ""
        speed, memory = spread([size / each / 1e6 for each in seconds], 2), spread([r["peak_mb"] for r in measured])
        name = f"{side} ({measured[0]['version']})"
        rows.append([name, speed, memory, times, *recall, f"{found['']:,} of {planted['']:,}"])
    return table(rows)


def _title(path: Path, kinds: list[str], size: int, num_items: int, item_words: tuple[int, int]) -> str:
    planted = sum(1 for kind in kinds if kind)
    return (
        f"Items of {item_words[0]} to {item_words[1]} words: {len(kinds):,} documents of {path.name} "
        f"({size / 1e6:.1f} MB), {planted:,} of them with a planted copy of one of {num_items} test items."
    )


def _notes(options: argparse.Namespace) -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "pyarrow"))
    notes = [
        f"measured at commit {commit_of(REPOSITORY)}, --max-bytes {options.max_bytes}, --repeats {options.repeats}",
        f"machine: {cpu_name()}, one core; Python {platform.python_version()}, {libraries}",
        "processor seconds, medians of the runs, in turns, with the least and the most; MB are of the text in UTF-8; "
        "ours hold the making of the Arrow array",
        "a peer removes a document (the Janitor: changes it) for one n-gram of 13 words; ours for half of an item's "
        "words in such n-grams (of 11 for items of 13 to 19 words), and for an item of fewer words as a whole",
        "the copies make no phrase a common one, as in the self-test of every run",
        "truncated: the first three quarters; edited: every twentieth word is another; others removed: documents "
        "without a copy, which may share a paragraph with the documents that the items are from",
    ]
    return "\n".join(f"- {note}" for note in notes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="a .jsonl file, also .gz or .zst, with a field `text`")
    parser.add_argument("--max-bytes", type=int, default=8_000_000, help="of the documents that are taken")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--janitor", type=Path, help="janitor.py of lm-evaluation-harness")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter of the environment with datatrove")
    parser.add_argument("--out", type=Path, help="the page to write")
    parser.add_argument("--measure-ours", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.measure_ours and not options.input:
        parser.error("--input names no file")
    return options


if __name__ == "__main__":
    main()
