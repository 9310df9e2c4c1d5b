"""Seconds, throughput and memory of each stage of the pipeline, beside peers on the same documents in the same call.

    pip install 'datatrove[processing]' spacy
    python benchmarks/pipeline.py --input 'the PEPs=peps.jsonl.zst' --pydocs --out docs/benchmarks/pipeline_cpu.md

The pipeline runs as its users run it, a command of its own. A stage's seconds are those of timing.json, which are held
against what is seen from outside: the moments at which the stages' records appear. Memory is the resident pages of the
command and its workers added up, looked at every few milliseconds (Linux). A peer runs in a process of its own, in
turns with ours: see pipeline_peers.py. The search for duplicates has a table of its own: near_duplicates.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import orjson
from runs import ALL, END, POLL_S, REPOSITORY, STAGES, START, Input, Record, Run, corpus_of, run_peer, run_pipeline
from table import cpu_name, ratio, spread, table

from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.stages.view import TextReader, decision_path

PEER_SETTINGS = {"vocab_size": 16384}  # ours
COMPARED = {  # peer -> the stages that do its work, and the documents that both get
    "datatrove GopherQualityFilter": (("clean", "filter"), "read"),
    "tokenizers train": (("tokenizer",), "kept"),
    "tokenizers encode_batch_fast": (("shards",), "kept"),
}


def main() -> None:
    """Read the command line, measure, print the tables and write them."""
    options = _options()
    inputs = [*options.input, *([Input("Python's documentation", None)] if options.pydocs else [])]
    sections: list[str] = []
    for each in inputs:
        with tempfile.TemporaryDirectory() as name:
            sections += measure(each, options, Path(name))
    text = "\n\n".join([*sections, "\n".join(_notes(options))])
    print(text)
    if options.out:
        options.out.write_text(f"# The pipeline's throughput and memory\n\n{text}\n")


def measure(corpus: Input, options: argparse.Namespace, folder: Path) -> list[str]:
    """Return the section of one corpus: the table of its stages, that of its peers, what timing.json says amiss."""
    runs: dict[int, list[Run]] = {workers: [] for workers in options.workers}
    peers: dict[str, list[Record]] = {name: [] for name in COMPARED if corpus.path and options.peers}
    for _ in range(options.repeats):
        for workers, measured in runs.items():
            measured.append(run_pipeline(corpus, workers, folder))
            print(f"{corpus.name}, {workers} workers: {measured[-1].seconds}", file=sys.stderr)
        if peers:
            write_documents(corpus, folder)
        for name, records in peers.items():
            records.append(measure_peer(name, options.peer_python, folder))
            print(f"{corpus.name}, {name}: {records[-1]}", file=sys.stderr)
    first = runs[options.workers[0]]
    size = first[0].timing["clean"]
    title = f"## {corpus.name}: {size['documents']:,} documents read, {size['utf8_bytes'] / 1e6:.1f} MB of cleaned text"
    tables = [title, stage_table(runs), *([peer_table(first, peers)] if peers else [])]
    amiss = [line for workers, measured in runs.items() for line in timing_amiss(measured, workers)]
    return [*tables, *(["\n".join(amiss)] if amiss else [])]


def write_documents(corpus: Input, folder: Path) -> None:
    """Write what the peers read: the documents that were read, and those left at the end."""
    assert corpus.path is not None
    source = Jsonl([str(corpus.path)])
    parsed = [source.parse(block, file, 0) for file in source.files() for block in source.blocks(file, 1 << 30)]
    kept = corpus_of(folder / "out")
    for stage in STAGES:
        kept = kept.after(stage) if decision_path(kept.work, stage).exists() else kept
    documents = {
        "read": [text for each in parsed for text in each.documents.column("text").to_pylist()],
        "kept": TextReader(kept)(np.arange(len(kept.positions))),
    }
    for name, texts in documents.items():
        (folder / name).mkdir(exist_ok=True)
        lines = [orjson.dumps({"id": str(number), "text": text}) for number, text in enumerate(texts)]
        (folder / name / "documents.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    settings = {**PEER_SETTINGS, "tokenizer": str(folder / "out" / "tokenizer.json")}
    (folder / "settings.json").write_text(json.dumps(settings))


def measure_peer(name: str, python: str, folder: Path) -> Record:
    """Run one peer; return what it prints."""
    documents = folder / COMPARED[name][1] / "documents.jsonl"
    script = REPOSITORY / "benchmarks" / "pipeline_peers.py"
    return run_peer([python, str(script), name, str(documents), str(folder / "settings.json")])


def stage_table(runs: dict[int, list[Run]]) -> str:
    """Return a line a stage: seconds, speed and memory at each number of workers."""
    header = ["stage"]
    for workers in runs:
        header += [f"{workers} worker{'s' * (workers > 1)}, s", "MB/s", "documents/s", "peak MB"]
    lines = (START, *STAGES, END, ALL)
    rows = [[stage, *(cell for measured in runs.values() for cell in _stage_cells(stage, measured))] for stage in lines]
    return table([header, *rows])


def _stage_cells(stage: str, measured: list[Run]) -> list[str]:
    seconds = statistics.median(run.seconds_of(stage) for run in measured)
    peak = max(run.peak_mb[stage] for run in measured)
    work = measured[0].timing.get("clean" if stage == ALL else stage, {})
    speeds = [
        f"{amount / seconds:,.{digits}f}" if amount and seconds >= POLL_S else "-"
        for amount, digits in ((work.get("utf8_bytes", 0) / 1e6, 1), (work.get("documents", 0), 0))
    ]
    return [f"{seconds:.2f}", *speeds, f"{peak:,.0f}" if peak else "-"]


def peer_table(ours: list[Run], peers: dict[str, list[Record]]) -> str:
    """Return a line a peer, beside the stages that do its work; a peer that is missing is said to be."""
    rows = [["stages", "groundwork, s", "peer", "peer, s", "ratio", "peer's peak MB", "remark"]]
    for name, records in peers.items():
        stages = COMPARED[name][0]
        mine = [sum(run.seconds_of(stage) for stage in stages) for run in ours]
        row = [" + ".join(stages), spread(mine, 2)]
        if "missing" in records[0]:
            rows.append([*row, name, "-", "-", "-", f"not measured: {records[0]['missing']}"])
            continue
        theirs = [record["seconds"] for record in records]
        peak = max(record["peak_mb"] for record in records)
        peer = f"{name} ({records[0]['version']})"
        rows.append([*row, peer, spread(theirs, 2), f"{ratio(mine, theirs):.2f}", f"{peak:,.0f}", records[0]["note"]])
    return table(rows)


def timing_amiss(measured: list[Run], workers: int) -> list[str]:
    """Return the stages of which timing.json says something else than was seen: by over 50 ms and 5 %."""
    said = []
    for stage in STAGES:
        seen, written = (
            statistics.median(run.seconds[stage] for run in measured),
            statistics.median(run.timing[stage]["seconds"] for run in measured),
        )
        if abs(seen - written) > 0.05 + 0.05 * seen:
            said.append(f"timing.json, {workers} workers, {stage}: it says {written:.2f} s, {seen:.2f} s were seen")
    return said


def _notes(options: argparse.Namespace) -> list[str]:
    packages = ("numpy", "numba", "pyarrow", "tokenizers", "datasketch")
    libraries = ", ".join(f"{name} {version(name)}" for name in packages)
    return [
        f"- machine: {cpu_name()}, {os.cpu_count()} cores",
        f"- versions: Python {platform.python_version()}, {libraries}",
        f"- runs in turns: {options.repeats}; median (least to most), memory the highest of all",
        "- MB/s: of UTF-8 text; (start): Python, the configuration, the list of files; (end): the page, the last files",
        f"- ratio: our seconds over the peer's, with {options.workers[0]} worker; below 1 ours is faster",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--input", type=Input.named, action="append", default=[], metavar="NAME=FILE",
        help="a .jsonl file, also .gz or .zst, and what the table calls it; may be repeated")  # fmt: skip
    add("--pydocs", action="store_true", help="measure the embedded corpus too, which has no peers")
    add("--workers", type=int, nargs="+", default=[1, 2], help="executor.workers; peers stand beside the first")
    add("--repeats", type=int, default=3, help="times that everything runs")
    add("--no-peers", dest="peers", action="store_false", help="measure no peers")
    add("--peer-python", default=sys.executable, help="interpreter of the environment that has the peers")
    add("--out", type=Path, help="markdown file to write")
    options = parser.parse_args()
    if not options.input and not options.pydocs:
        parser.error("nothing to measure: give --input NAME=FILE or --pydocs")
    return options


if __name__ == "__main__":
    main()
