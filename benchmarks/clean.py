"""The quality filters beside datatrove's: speed, and verdicts rule by rule.

    python -m venv peers && peers/bin/pip install 'datatrove==0.10.0' spacy orjson regex
    python benchmarks/clean.py --input peps.jsonl.zst --peer-python peers/bin/python --out docs/benchmarks/clean_cpu.md

Gopher's rules against repetition, Gopher's quality rules, C4's without end marks and FineWeb's, in this order, as
FineWeb has them. Each side is a command of its own, in turns, 2 processes on the same 2 files: clean_sides.py. Where
the inputs are fewer bytes than asked for they are taken again, each document begun at another line. Verdicts are of
each rule alone, on the first documents; datatrove's also with `str.split()` for words, which shows what its tokenizer
makes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson
from clean_sides import WORKERS
from runs import REPOSITORY, Record, run_peer
from signatures import read_texts
from table import measured_with, ratio, spread, table


def main() -> None:
    """Read the command line, measure, print the tables and write them."""
    options = _options()
    texts = [text for path in options.input for text in read_texts(path) if text.split()]
    with tempfile.TemporaryDirectory() as folder:
        text = "\n\n".join(measure(texts, options, Path(folder)))
    print(text)
    if options.out:
        options.out.write_text(f"# Quality filters\n\n{text}\n")


def measure(texts: list[str], options: argparse.Namespace, folder: Path) -> list[str]:
    """Return the sections of the page."""
    num_docs, num_bytes = write_tasks(texts, options.bytes, folder)
    records: dict[str, list[Record]] = {"groundwork": [], "datatrove": []}
    for _ in range(options.repeats):
        for side, measured in records.items():
            measured.append(run_side(side, options, folder))
            print(f"{side}: {measured[-1]}", file=sys.stderr)
    some = within(texts, options.verdict_bytes)
    write(some, folder / "some.jsonl")
    ours, theirs, by_split = (
        run_side(side, options, folder)
        for side in ("groundwork-verdicts", "datatrove-verdicts", "datatrove-split-verdicts")
    )
    speed = f"## Speed: {num_docs:,} documents, {num_bytes / 1e6:.1f} MB of text"
    rules = f"## Verdicts: {len(some):,} documents, {sum(len(text.encode()) for text in some) / 1e6:.1f} MB"
    note = [f"- {options.note}"] if options.note else []
    return [
        speed,
        speed_table(records, num_bytes),
        rules,
        verdict_table(ours, theirs, by_split),
        "\n".join([*note, *_notes(options, ours, theirs)]),
    ]


def run_side(side: str, options: argparse.Namespace, folder: Path) -> Record:
    """Run one side of clean_sides.py; ours by this interpreter, datatrove by that which has it."""
    python = options.peer_python if side.startswith("datatrove") else sys.executable
    script = REPOSITORY / "benchmarks" / "clean_sides.py"
    paths = ["env", f"PYTHONPATH={REPOSITORY}"] if python == sys.executable else []
    return run_peer([*paths, python, str(script), side, str(folder)])


def varied(texts: list[str], num_bytes: int) -> Iterator[str]:
    """Yield texts until they are so many bytes, from the second time on each begun at another of its lines."""
    taken, turn = 0, 0
    while taken < num_bytes:
        for text in texts:
            lines = text.split("\n")
            begin = turn * 7 % len(lines)
            yield "\n".join(lines[begin:] + lines[:begin])
            taken += len(text.encode())
            if taken >= num_bytes:
                return
        turn += 1


def within(texts: list[str], num_bytes: int) -> list[str]:
    """Return the first texts, until they are so many bytes."""
    return list(varied(texts, min(num_bytes, sum(len(text.encode()) for text in texts))))


def write_tasks(texts: list[str], num_bytes: int, folder: Path) -> tuple[int, int]:
    """Write a file a task, of about as many bytes each; return how many documents and bytes of text."""
    many = list(varied(texts, num_bytes))
    for task in range(WORKERS):
        write(many[task::WORKERS], folder / f"task_{task}.jsonl")
    return len(many), sum(len(text.encode()) for text in many)


def write(texts: list[str], path: Path) -> None:
    """Write documents as JSON lines."""
    lines = [orjson.dumps({"id": str(at), "text": text}) for at, text in enumerate(texts)]
    path.write_bytes(b"\n".join(lines) + b"\n")


def speed_table(records: dict[str, list[Record]], num_bytes: int) -> str:
    """Return a line a side: filters alone, and with reading and the start of the processes."""
    rows = [["", "filters, s", "MB/s", "times", "with reading, s", "MB/s", "times", "kept"]]
    for side, measured in records.items():
        cells = []
        for key in ("filters_s", "seconds"):
            seconds = [record[key] for record in measured]
            times = ratio([record[key] for record in records["datatrove"]], seconds)
            cells += [spread(seconds, 2), spread([num_bytes / 1e6 / each for each in seconds], 1), f"{times:.1f}"]
        rows.append([side, *cells, f"{measured[0]['kept']:,}"])
    return table(rows)


def verdict_table(ours: Record, theirs: Record, by_split: Record) -> str:
    """Return a line a rule: how many documents go by it, on which side."""
    rows = [["rule", "both", "ours alone", "datatrove alone", "ours alone (split)", "datatrove alone (split)"]]
    for rule in theirs["verdicts"][0]:
        mine = [verdict[rule] for verdict in ours["verdicts"]]
        counts = []
        for other in (theirs, by_split):
            pairs = list(zip(mine, (verdict[rule] for verdict in other["verdicts"]), strict=True))
            counts += [[pairs.count(pair) for pair in ((True, True), (True, False), (False, True))]]
        rows.append([rule, *(f"{count:,}" for count in (*counts[0], *counts[1][1:]))])
    return table(rows)


def _notes(options: argparse.Namespace, ours: Record, theirs: Record) -> list[str]:
    same = sum(mine == other for mine, other in zip(ours["left"], theirs["left"], strict=True))
    return [
        *measured_with(("numpy", "numba", "pyarrow"), REPOSITORY, options.repeats),
        f"- {WORKERS} processes a side; filters: ours, the longer of the processes; datatrove, its own clocks of its "
        "filters, a process; times: the median of what datatrove takes of ours, one right after the other",
        "- verdicts: of each rule alone, at the published limits; (split): datatrove with `str.split()` for words",
        f"- texts that C4's line rules leave alike: {same:,} of {len(ours['left']):,}; the others have citations, "
        "after which ours counts the words of a line and strips it, or other line ends than newlines, which its rule "
        "`unicode` rewrites before",
        "- spaCy makes words of punctuation: so fewer of datatrove's words have a letter, more of them repeat, and "
        "fewer newlines fall on a word; the rules of symbols, which it has under one limit, are left out",
        "- datatrove's filters see what those before left, ours measure every document, also one that goes",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--input", type=Path, action="append", required=True, metavar="FILE", help=".jsonl, also .gz or .zst; repeat")
    add("--bytes", type=int, default=50_000_000, help="of text to filter")
    add("--verdict-bytes", type=int, default=5_000_000, help="of text whose verdicts are compared")
    add("--repeats", type=int, default=3, help="times that both sides run")
    add("--peer-python", default=sys.executable, help="interpreter of the environment that has datatrove")
    add("--note", default="", help="a line for the page, on what else the machine did")
    add("--out", type=Path, help="markdown file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
