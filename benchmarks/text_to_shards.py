"""The whole pipeline beside datatrove's: FineWeb's filters, near-duplicates, tokens; and the stage `clean` by itself.

    pip install 'datatrove[processing]' spacy
    python benchmarks/text_to_shards.py --input 'the PEPs=peps.jsonl.zst' --out docs/benchmarks/text_to_shards_cpu.md

Both read the same .jsonl files, two of about the same size, with 2 processes, and encode with the same tokenizer, which
is trained before. Where a corpus has fewer bytes than asked for, more documents are made of its paragraphs. Each is a
command of its own, in turns, and its time counts from its start to its end. Of the stages `clean` (reading .jsonl.zst,
parsing, rules, writing) and `filter` with one worker the table says how fast they are, and what memory they take at a
tenth of the input and at all of it.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import zstandard
from clean import write_tasks
from clean_sides import WORKERS
from near_duplicates import named_corpus, read_corpus
from runs import ALL, REPOSITORY, Input, Record, Run, run_peer, run_pipeline
from table import measured_with, ratio, spread, table

VOCAB_SIZE = 16_384  # below 2^16: both write two bytes a token
FILTERS = (
    "clean=web",
    "~clean.rules.html",
    "~clean.rules.pii",
    "clean.max_loss_frac=1",
)  # as clean_sides.rules, and NFC
CLEANED = ("clean", "filter")


def main() -> None:
    """Read the command line, measure, print the tables and write them."""
    options = _options()
    sections: list[str] = []
    for name, path in options.input:
        texts = [text for text in read_corpus(path, options.max_bytes) if text.split()]
        texts = list(reassembled(texts, options.bytes))
        with tempfile.TemporaryDirectory() as folder:
            sections += measure(name, texts, options, Path(folder))
    text = "\n\n".join([*sections, "\n".join(_notes(options))])
    print(text)
    if options.out:
        options.out.write_text(f"# Text to shards\n\n{text}\n")


def measure(name: str, texts: list[str], options: argparse.Namespace, folder: Path) -> list[str]:
    """Return the section of one corpus."""
    sizes = [sum(len(text.encode()) for text in texts) // share for share in (1, 10)]
    documents = {size: folder / f"documents_{size}" for size in sizes}
    for size, where in documents.items():
        where.mkdir()
        write_tasks(texts, size, where)
    tokenizer = train_tokenizer(documents[sizes[0]], options.vocab_size, folder)
    corpus = Input(name, documents[sizes[0]] / "*.jsonl")
    peer = [options.peer_python, str(REPOSITORY / "benchmarks" / "text_to_shards_peers.py")]
    ours: list[Run] = []
    theirs: list[Record] = []
    settings = (
        *(*FILTERS, "dedup=minhash", "decontaminate=none", "tokenizer=file", f"tokenizer.path={tokenizer}"),
        f"partition_bytes={options.partition_bytes}",
    )
    run_pipeline(corpus, WORKERS, folder, *settings)  # so that the kernels are compiled
    for _ in range(options.repeats):
        ours.append(run_pipeline(corpus, WORKERS, folder, *settings))
        print(f"{name}: {ours[-1].timing}", file=sys.stderr)
        if options.peers:
            theirs.append(run_peer([*peer, str(documents[sizes[0]]), str(tokenizer)]))
            print(f"{name}: {theirs[-1]}", file=sys.stderr)
    title = f"## {name}: {len(texts):,} documents, {sizes[0] / 1e6:.1f} MB of text"
    cleaned = {size: clean_alone(where, options, folder) for size, where in sorted(documents.items())}
    return [
        title,
        whole_table(ours, theirs, sizes[0]),
        "### `clean` and `filter` from .jsonl.zst, 1 worker",
        clean_table(cleaned),
    ]


def reassembled(texts: list[str], num_bytes: int, seed: int = 0) -> Iterator[str]:
    """Yield the texts, then others of the same lengths made of their paragraphs in another order, to `num_bytes`.

    The documents after the first turn are no near-duplicates of each other: a copy would only be removed.
    """
    rng, taken = random.Random(seed), 0
    yield from texts
    taken = sum(len(text.encode()) for text in texts)
    paragraphs = [paragraph for text in texts for paragraph in text.split("\n\n") if paragraph.strip()]
    while taken < num_bytes:
        rng.shuffle(paragraphs)
        rest = iter(paragraphs)
        for text in texts:
            made = "\n\n".join(itertools.islice(rest, text.count("\n\n") + 1))
            if made and taken < num_bytes:
                yield made
                taken += len(made.encode())


def train_tokenizer(documents: Path, vocab_size: int, folder: Path) -> Path:
    """Return the tokenizer of both sides, trained by the pipeline."""
    corpus = Input("sample", documents / "*.jsonl")
    settings = ("clean=none", "dedup=none", "decontaminate=none", f"tokenizer.vocab_size={vocab_size}")
    run_pipeline(corpus, 1, folder, *settings)
    return (folder / "out" / "tokenizer.json").rename(folder / "tokenizer.json")


def clean_alone(documents: Path, options: argparse.Namespace, folder: Path) -> list[Run]:
    """Return runs with one worker, from .jsonl.zst until the filter is done."""
    for path in documents.glob("*.jsonl"):
        path.with_suffix(".jsonl.zst").write_bytes(zstandard.compress(path.read_bytes()))
    corpus = Input("clean", documents / "*.jsonl.zst")
    settings = (*FILTERS, f"partition_bytes={options.partition_bytes}")
    return [run_pipeline(corpus, 1, folder, *settings, until="filter") for _ in range(options.repeats)]


def whole_table(ours: list[Run], theirs: list[Record], num_bytes: int) -> str:
    """Return a line a side: from its start to its end."""
    rows = [["", "seconds", "MB/s", "times", "documents left", "tokens", "peak MB, all processes"]]
    mine = [run.seconds[ALL] for run in ours]
    sides = {"groundwork": (mine, ours[0].timing["shards"]["documents"], "", max(run.peak_mb[ALL] for run in ours))}
    if theirs:
        seconds = [record["whole_s"] for record in theirs]
        peak = max(record["tree_mb"] for record in theirs)
        sides[theirs[0]["note"]] = (seconds, theirs[0]["kept"], f"{theirs[0]['tokens']:,}", peak)
    for name, (seconds, kept, tokens, peak) in sides.items():
        times = f"{ratio([record['whole_s'] for record in theirs], seconds):.1f}" if theirs else "-"
        rate = spread([num_bytes / 1e6 / each for each in seconds], 1)
        rows.append([name, spread(seconds, 1), rate, times, f"{kept:,.0f}", tokens or "-", f"{peak:,.0f}"])
    return table(rows)


def clean_table(cleaned: dict[int, list[Run]]) -> str:
    """Return a line a size of the input; the memory of the larger one beside that of the smaller."""
    rows = [["MB of text", "seconds", "MB/s", "peak MB", "of the smaller input's"]]
    first: float | None = None
    for size, runs in cleaned.items():
        seconds = [sum(run.timing[stage]["seconds"] for stage in CLEANED) for run in runs]
        peak = max(max(run.peak_mb[stage] for stage in CLEANED) for run in runs)
        first = first or peak
        rate = spread([size / 1e6 / each for each in seconds], 1)
        rows.append([f"{size / 1e6:.1f}", spread(seconds, 2), rate, f"{peak:,.0f}", f"{peak / first:.2f}"])
    return table(rows)


def _notes(options: argparse.Namespace) -> list[str]:
    note = [f"- {options.note}"] if options.note else []
    return [
        *note,
        *measured_with(("numpy", "numba", "pyarrow", "tokenizers"), REPOSITORY, options.repeats),
        f"- both: {WORKERS} files, {WORKERS} processes, from the start of the command to its end, imports and loading "
        "of kernels included, compiling them, which each machine does once, not",
        "- ours with the held-out split, ledger and page, which the other has not",
        "- the filters' words are split otherwise (spaCy there), so other documents are left: clean_cpu.md",
        "- datatrove's near-duplicates with its own settings, which find fewer: near_duplicates_cpu.md",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--input", type=named_corpus, action="append", required=True, metavar="NAME=PATH",
        help="a .jsonl file, also .gz or .zst, or a folder of text files, and its name; may be repeated")  # fmt: skip
    add("--max-bytes", type=int, help="of each corpus; default: all of it")
    add("--bytes", type=int, default=150_000_000, help="of text: what a corpus lacks is made of its paragraphs")
    add("--vocab-size", type=int, default=16_384, help="below 2^16: both sides write two bytes a token")
    add("--partition-bytes", type=int, default=4 << 20, help="of the pipeline; a tenth of the input has several too")
    add("--repeats", type=int, default=3, help="times that everything runs")
    add("--no-peers", dest="peers", action="store_false", help="measure ours alone")
    add("--peer-python", default=sys.executable, help="interpreter of the environment that has datatrove")
    add("--note", default="", help="a line for the page, on what else the machine did")
    add("--out", type=Path, help="markdown file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
