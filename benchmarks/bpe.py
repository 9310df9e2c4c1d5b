"""Training of byte-level BPE beside tokenizers, gigatoken, rustbpe and bpeasy: time, memory, and whether merges agree.

    python -m venv peers && peers/bin/pip install rustbpe bpeasy tokenizers orjson
    python benchmarks/bpe.py --input peps.jsonl.zst --input /usr/lib/python3.11 --peer-python peers/bin/python \
        --out docs/benchmarks/bpe_cpu.md

Each side is a command of its own, in turns: from files of JSON lines to a tokenizer.json; a second time on
a tenth of the text. Time is of the whole command, imports included; memory is that of all its processes. gigatoken's
trainer knows GPT-2's split alone; tokens of rustbpe and bpeasy, who take others among pairs of the same count, are
compared as sets.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import orjson
from bpe_sides import FILES, WORKERS, tokens_path
from runs import REPOSITORY, Record, run_peer
from signatures import read_texts
from table import measured_with, ratio, spread, table

SPLITS = ("gpt2", "cl100k")
OURS, REFERENCE = "groundwork", "tokenizers"
PEERS = ("rustbpe", "bpeasy")  # of the peers' interpreter
ALL, TENTH = "all", "tenth"
SUFFIXES = (".py", ".rst", ".txt", ".md")


def main() -> None:
    """Read the command line, measure, print the tables and write them."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        text = "\n\n".join(measure(options, Path(folder)))
    print(text)
    if options.out:
        options.out.write_text(f"# Training of byte-level BPE\n\n{text}\n")


def measure(options: argparse.Namespace, folder: Path) -> list[str]:
    """Return the sections of the page."""
    texts = list(within(documents(options.input), options.bytes))
    num_bytes = {
        name: write_tasks(some, folder / name)
        for name, some in ((ALL, texts), (TENTH, list(within(iter(texts), options.bytes // 10))))
    }
    run_side(OURS, SPLITS[0], folder / TENTH, options)  # so that the kernels are compiled
    sections = []
    for split in SPLITS:
        sides = sides_of(split, options)
        records: dict[str, dict[str, list[Record]]] = {side: {ALL: [], TENTH: []} for side in sides}
        for _ in range(options.repeats):
            for part in (ALL, TENTH):
                for side in sides:
                    records[side][part].append(run_side(side, split, folder / part, options))
                    print(f"{split} {side} {part}: {records[side][part][-1]}", file=sys.stderr)
        sections += [
            f"## Split {split}: {options.vocab_size:,} tokens, {len(texts):,} documents, {num_bytes[ALL] / 1e6:.1f} MB",
            speed_table(records, num_bytes),
            agreement(folder / ALL, split, sides),
        ]
    note = [f"- {options.note}"] if options.note else []
    return [*sections, "\n".join([*note, *_notes(options, num_bytes)])]


def sides_of(split: str, options: argparse.Namespace) -> list[str]:
    """Return the sides that there are for a split."""
    fast = ["gigatoken"] if split == "gpt2" and find_spec("gigatoken") else []
    return [OURS, REFERENCE, *fast, *(PEERS if options.peer_python else ())]


def run_side(side: str, split: str, folder: Path, options: argparse.Namespace) -> Record:
    """Run one side of bpe_sides.py; those of PEERS by the interpreter that has them."""
    python = options.peer_python if side in PEERS else sys.executable
    script = REPOSITORY / "benchmarks" / "bpe_sides.py"
    paths = ["env", f"PYTHONPATH={REPOSITORY}"] if side == OURS else []
    return run_peer([*paths, python, str(script), side, split, str(options.vocab_size), str(folder)], mapped=False)


def documents(inputs: list[Path]) -> Iterator[str]:
    """Yield the documents of files of JSON lines, and the text files of folders."""
    for path in inputs:
        if not path.is_dir():
            yield from read_texts(path)
            continue
        for file in sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file()):
            yield file.read_text(errors="ignore")


def within(texts: Iterator[str], num_bytes: int) -> Iterator[str]:
    """Yield the first texts, until they are so many bytes."""
    for text in texts:
        if num_bytes <= 0:
            return
        num_bytes -= len(text.encode())
        yield text


def write_tasks(texts: list[str], folder: Path) -> int:
    """Write the files, of about as many bytes each; return the bytes of text."""
    folder.mkdir(parents=True)
    for task in range(FILES):
        lines = [orjson.dumps({"text": text}) + b"\n" for text in texts[task::FILES]]
        (folder / f"task_{task}.jsonl").write_bytes(b"".join(lines))
    return sum(len(text.encode()) for text in texts)


def speed_table(records: dict[str, dict[str, list[Record]]], num_bytes: dict[str, int]) -> str:
    """Return a line a side: time and memory of all, and of a tenth."""
    rows = [["", "s", "MB/s", "times faster than tokenizers", "peak, MB", "a tenth, s", "peak, MB"]]
    for side, parts in records.items():
        seconds, few = ([record["whole_s"] for record in parts[part]] for part in (ALL, TENTH))
        peaks, few_peaks = ([record["tree_mb"] for record in parts[part]] for part in (ALL, TENTH))
        times = ratio([record["whole_s"] for record in records[REFERENCE][ALL]], seconds)
        speed = num_bytes[ALL] / 1e6 / statistics.median(seconds)
        row = [
            side,
            spread(seconds, 2),
            f"{speed:.1f}",
            f"{times:.1f}",
            spread(peaks),
            spread(few, 2),
            spread(few_peaks),
        ]
        rows.append(row)
    return table(rows)


def agreement(folder: Path, split: str, sides: list[str]) -> str:
    """Return a line a side: how many tokens it made, how many of them as ours, where the first other one is."""
    rows = [["", "merges", "tokens that are ours", "first difference in order"]]
    ours: list[str] = orjson.loads(tokens_path(folder, OURS, split).read_bytes())
    for side in sides:
        theirs: list[str] = orjson.loads(tokens_path(folder, side, split).read_bytes())
        rows.append([side, f"{len(theirs):,}", f"{len(set(ours) & set(theirs)):,}", first_difference(ours, theirs)])
    return table(rows)


def first_difference(ours: list[str], theirs: list[str]) -> str:
    """Return at which merge, from 1, two sides differ."""
    both = zip(ours, theirs, strict=False)
    place = next((at for at, (mine, other) in enumerate(both, 1) if mine != other), min(len(ours), len(theirs)) + 1)
    return "none" if ours == theirs else f"{place:,}"


def _notes(options: argparse.Namespace, num_bytes: dict[str, int]) -> list[str]:
    return [
        *measured_with(("numpy", "numba", "pyarrow", "tokenizers"), REPOSITORY, options.repeats),
        f"- the command from its start to tokenizer.json, on {FILES} files; a tenth: {num_bytes[TENTH] / 1e6:.1f} MB",
        f"- ours counts in {WORKERS} processes; the others in threads, as many as there are cores",
        "- peak: resident memory of all processes of the command, pages of mapped files such as libraries left out",
        "- times: the median of pairs, one right after the other; our kernels were compiled before",
        "- rustbpe and bpeasy take others among pairs of equal count, which is why their order differs",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--input", type=Path, action="append", required=True, metavar="PATH", help=".jsonl, .gz, .zst, or a folder")
    add("--bytes", type=int, default=100_000_000, help="of text to train on; no text is taken twice")
    add("--vocab-size", type=int, default=32_000, help="of the tokenizers")
    add("--repeats", type=int, default=3, help="times that all sides run")
    add("--peer-python", help="interpreter of the environment that has rustbpe and bpeasy")
    add("--note", default="", help="a line for the page, on what else the machine did")
    add("--out", type=Path, help="markdown file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
