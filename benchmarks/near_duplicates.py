"""Near-duplicates sought end to end: speed, memory, recall and removals without a witness, beside peers.

    pip install 'datatrove[processing]' spacy
    python benchmarks/near_duplicates.py --input 'the PEPs=peps.jsonl.zst' --out docs/benchmarks/near_duplicates_cpu.md

Ours runs as its users run it, a command of its own, with `clean=none`, until its stage `near` is done. Peers run in
processes of their own, in turns with ours, on the same files: near_duplicates_peers.py. Some of the documents are
copied and edited, so that pairs lie on both sides of the threshold: edited_copies.py. What all of them did is held
against the comparison of every pair: all_pairs.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import isnan
from pathlib import Path
from random import Random

import numpy as np
import orjson
from all_pairs import Pairs, all_pairs, judge, range_of
from edited_copies import edited_copies
from near_duplicates_peers import PEERS, TASKS
from runs import ALL, REPOSITORY, Input, Record, corpus_of, run_peer, run_pipeline
from signatures import read_texts
from table import measured_with, ratio, spread, table

SETTINGS = {
    "num_perm": 128,
    "bands": 25,
    "rows": 5,
    "ngram": 5,
    "threshold": 0.8,
}  # ours, given to those that take them
EDGES = (0.8, 0.85, 0.9, 1.0)  # of the ranges of similarity in the table
TEXT_FILES = (".md", ".py", ".rst", ".txt")
BASE = "datatrove, 4 stages"  # the side that the others' rates are multiples of
Side = Callable[[], Record]  # measures once


def main() -> None:
    """Read the command line, measure, print the tables and write them."""
    options = _options()
    sections: list[str] = []
    for name, path in options.input:
        with tempfile.TemporaryDirectory() as folder:
            sections += measure(name, read_corpus(path, options.max_bytes), options, Path(folder))
    text = "\n\n".join([*sections, "\n".join(_notes(options))])
    print(text)
    if options.out:
        options.out.write_text(f"# Near-duplicates, end to end\n\n{text}\n")


def read_corpus(path: Path, max_bytes: int | None) -> list[str]:
    """Return the texts of a .jsonl file, or of the text files below a folder; those without a word are left out.

    Args:
        max_bytes: UTF-8 bytes from which no more documents are taken.
    """
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.suffix in TEXT_FILES and each.is_file())
        texts = [each.read_bytes().decode(errors="replace") for each in files]
    else:
        texts = read_texts(path)
    texts = [text for text in texts if text.split()]
    if max_bytes is None:
        return texts
    return texts[: int(np.searchsorted(np.cumsum([len(text.encode()) for text in texts]), max_bytes))]


def measure(name: str, texts: list[str], options: argparse.Namespace, folder: Path) -> list[str]:
    """Return the section of one corpus."""
    copies = edited_copies(texts, options.copied, seed=0)
    documents = [*texts, *copies]
    Random(0).shuffle(documents)
    num_bytes = write_documents(documents, folder)
    print(f"{name}: comparing all pairs of {len(documents):,} documents", file=sys.stderr)
    pairs = all_pairs(documents, SETTINGS["threshold"], int(SETTINGS["ngram"]))
    records: dict[str, list[Record]] = {}
    sides = contenders(options, folder)
    for _ in range(options.repeats):
        for side, run in sides.items():
            records.setdefault(side, []).append(run())
            shown = {key: value for key, value in records[side][-1].items() if key != "kept"}
            print(f"{name}, {side}: {shown}", file=sys.stderr)
    ranges = np.bincount(range_of(pairs, EDGES), minlength=len(EDGES)).tolist()
    pair_counts = ", ".join(f"{count:,} {label}" for count, label in zip(ranges, range_labels(), strict=True))
    title = f"## {name}: {len(documents):,} documents, {num_bytes / 1e6:.1f} MB of text"
    of_pairs = f"{len(copies):,} of them edited copies. Pairs by similarity: {pair_counts}."
    return [title, of_pairs, speed_table(records, num_bytes), truth_table(records, pairs, len(documents))]


def write_documents(texts: list[str], folder: Path) -> int:
    """Write what all sides read, a file a task, of about as many bytes each; return the UTF-8 bytes of the texts."""
    sizes = np.cumsum([len(text.encode()) for text in texts])
    task_of = np.minimum(sizes * TASKS // sizes[-1], TASKS - 1)
    (folder / "documents").mkdir()
    for task in range(TASKS):
        mine = np.flatnonzero(task_of == task).tolist()
        lines = b"".join(orjson.dumps({"id": str(at), "text": texts[at]}) + b"\n" for at in mine)
        (folder / "documents" / f"{task}.jsonl").write_bytes(lines)
    (folder / "settings.json").write_bytes(orjson.dumps(SETTINGS))
    return int(sizes[-1])


def contenders(options: argparse.Namespace, folder: Path) -> dict[str, Side]:
    """Return what is measured, by name."""
    sides: dict[str, Side] = {
        f"groundwork, {workers} worker{'s' * (workers > 1)}": partial(ours, workers, options.partition_bytes, folder)
        for workers in options.workers
    }
    script = REPOSITORY / "benchmarks" / "near_duplicates_peers.py"
    for name in PEERS if options.peers else ():
        command = [options.peer_python, str(script), name, str(folder / "documents"), str(folder / "settings.json")]
        sides[name] = partial(run_peer, command)
    return sides


def ours(workers: int, partition_bytes: int, folder: Path) -> Record:
    """Run the pipeline until its near-duplicates are removed."""
    overrides = [f"dedup.{name}={value}" for name, value in SETTINGS.items()]
    overrides += ["clean=none", f"partition_bytes={partition_bytes}"]
    corpus = Input("documents", folder / "documents" / "*.jsonl")
    run = run_pipeline(corpus, workers, folder, *overrides, until="near")
    kept = corpus_of(folder / "out").after("exact").after("near").positions
    return {
        "seconds": run.seconds_of("exact") + run.seconds_of("near"),
        "whole_s": sum(run.seconds.values()),
        "tree_mb": run.peak_mb[ALL],
        "kept": kept.tolist(),
        "note": "compared whole",
    }


def speed_table(records: dict[str, list[Record]], num_bytes: int) -> str:
    """Return a line a side: how fast it is, beside the base, and how much memory it takes."""
    rows = [["", "s", "MB/s", "times", "from its start, s", "times", "peak MB", "remark"]]
    for side, measured in records.items():
        if "missing" in measured[0]:
            rows.append([side, *["-"] * 6, f"not measured: {measured[0]['missing']}"])
            continue
        cells = []
        for key in ("seconds", "whole_s"):
            seconds = [record[key] for record in measured]
            rate = [spread([num_bytes / 1e6 / each for each in seconds], 1)] if key == "seconds" else []
            cells += [spread(seconds, 2), *rate, _times(records.get(BASE, []), key, seconds)]
        peak = f"{max(record['tree_mb'] for record in measured):,.0f}"
        rows.append([side, *cells, peak, measured[0]["note"]])
    return table(rows)


def _times(base: list[Record], key: str, seconds: list[float]) -> str:
    if not base or "missing" in base[0]:
        return "-"
    return f"{ratio([record[key] for record in base], seconds):.1f}"


def truth_table(records: dict[str, list[Record]], pairs: Pairs, num_docs: int) -> str:
    """Return a line a side: what it did with the pairs that are similar in truth."""
    rows = [["", "removed", "recall", *(f"of {label}" for label in range_labels()), "removed without a witness"]]
    for side, measured in records.items():
        found = {judge_key(record, pairs, num_docs) for record in measured if "missing" not in record}
        rows += [[side, *cells] for cells in sorted(found)]  # more than one line where its runs differ
    return table(rows)


def judge_key(record: Record, pairs: Pairs, num_docs: int) -> tuple[str, ...]:
    """Return the cells of what one run did."""
    judged = judge(pairs, set(record["kept"]), num_docs, EDGES)
    recall = ["-" if isnan(share) else f"{share:.2%}" for share in (judged.recall, *judged.recall_of)]
    return (f"{judged.removed:,}", *recall, f"{judged.without_witness:,}")


def range_labels() -> list[str]:
    """Return the names of the ranges of similarity."""
    return [*(f"{low:g} to {high:g}" for low, high in pairwise(EDGES)), f"{EDGES[-1]:g}"]


def _notes(options: argparse.Namespace) -> list[str]:
    return [
        *measured_with(("numpy", "numba", "pyarrow"), REPOSITORY, options.repeats),
        "- memory: the highest of all runs, that of all processes of a side added up",
        f"- s: ours `exact` + `near` as its records say, partition_bytes={options.partition_bytes:,}; datatrove: its "
        f"stages, {TASKS} tasks on {TASKS} processes, reading and writing included; from its start: until that is "
        "done, with imports, and with ours the reading and parsing of its input",
        f"- times: the median of what {BASE}, takes of a side's seconds, one right after the other",
        "- similarity: Jaccard of sets of 5 words, `text.lower().split()`, all pairs compared; recall: of the pairs of "
        f"{SETTINGS['threshold']} and above, those of which not both are kept; a witness: a kept document as similar",
    ]


def named_corpus(text: str) -> tuple[str, Path]:
    name, _, path = text.rpartition("=")
    if not name or not Path(path).exists():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH with a file or folder that is there")
    return name, Path(path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--input", type=named_corpus, action="append", required=True, metavar="NAME=PATH",
        help="a .jsonl file, also .gz or .zst, or a folder of text files, and its name; may be repeated")  # fmt: skip
    add("--max-bytes", type=int, help="of each corpus; default: all of it")
    add("--copied", type=float, default=0.5, help="share of the documents of middling size that are copied and edited")
    add("--workers", type=int, nargs="+", default=[1, 2], help="executor.workers")
    add("--partition-bytes", type=int, default=8 << 20, help="so small that every worker has some of a small corpus")
    add("--repeats", type=int, default=3, help="times that everything runs")
    add("--no-peers", dest="peers", action="store_false", help="measure no peers")
    add("--peer-python", default=sys.executable, help="interpreter of the environment that has the peers")
    add("--out", type=Path, help="markdown file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
