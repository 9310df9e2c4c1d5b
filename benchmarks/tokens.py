"""Text to shards: beside tokenizers by the batch, Megatron-LM's way, and raw gigatoken in memory; and verifying.

    pip install gigatoken
    python benchmarks/tokens.py --input peps.jsonl.zst --out docs/benchmarks/tokens_cpu.md

Ours is the stage `shards` of a run of two workers: from the texts in the work folder to shards on disk with their sums,
shuffled, each worker's loading of the tokenizer included. The peers encode the same documents with the same
tokenizer.json on two cores, each a command of its own, in turns: tokens_peers.py. Their clocks begin when tokenizer
and text are loaded. Ids are compared document by document. Memory is that of all processes at its highest, here and at
a tenth of the input; of ours that of the stage. Where the inputs are fewer bytes than asked for they are taken again,
each document begun at another line.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import xxhash
from clean import varied, write
from runs import REPOSITORY, Input, Record, run_peer, run_pipeline
from signatures import read_texts
from table import measured_with, ratio, spread, table
from text_to_shards import train_tokenizer

from data_pipeline.shards.manifest import SPLITS, Manifest, documents_path, shard_prefix
from data_pipeline.shards.reader import Shard
from data_pipeline.shards.verify import verify_shards

WORKERS = 2
OURS, BASE = "groundwork, to disk", "tokenizers"
PEERS = {
    BASE: "tokenizers, encode_batch, in memory",
    "megatron": "Megatron-LM's way, to disk",
    "gigatoken": "gigatoken, in memory",
}
SHARE = 10  # of the input: the smaller one
READ_BYTES = 1 << 20


@dataclass
class Side:
    """What was measured of one side. Attributes: by size of the input: seconds, MB of memory; tokens: of the larger."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    peak_mb: dict[int, float] = field(default_factory=dict)
    num_bytes: dict[int, int] = field(default_factory=dict)
    tokens: int = 0
    same: str = ""

    def add(self, size: int, num_bytes: int, seconds: float, peak_mb: float) -> None:
        self.seconds.setdefault(size, []).append(seconds)
        self.peak_mb[size] = max(self.peak_mb.get(size, 0.0), peak_mb)
        self.num_bytes[size] = num_bytes


def main() -> None:
    """Read the command line, measure, print the tables and write them."""
    options = _options()
    texts = [text for path in options.input for text in read_texts(path) if text.split()]
    with tempfile.TemporaryDirectory() as folder:
        text = "\n\n".join(measure(texts, options, Path(folder)))
    print(text)
    if options.out:
        options.out.write_text(f"# Tokens\n\n{text}\n")


def measure(texts: list[str], options: argparse.Namespace, folder: Path) -> list[str]:
    """Return the sections of the page."""
    sizes = [options.bytes // SHARE, options.bytes]
    documents = {size: folder / f"documents_{size}" for size in sizes}
    num_docs = num_bytes = 0
    for size, where in documents.items():
        where.mkdir()
        many = list(varied(texts, size))
        write(many, where / "documents.jsonl")
        num_docs, num_bytes = len(many), sum(len(text.encode()) for text in many)
    tokenizer = options.tokenizer or train_tokenizer(documents[sizes[0]], options.vocab_size, folder)
    sides = {name: Side() for name in (OURS, *PEERS)}
    for _ in range(options.repeats):
        for size, where in documents.items():
            _run_all(sides, size, where / "documents.jsonl", tokenizer, options, folder)
    verified = verify_table(folder / "out", options.repeats)
    title = f"## Text to shards: {num_docs:,} documents, {num_bytes / 1e6:.1f} MB of text"
    note = [f"- {options.note}"] if options.note else []
    notes = [*note, *_notes(options)]
    return [title, speed_table(sides, *sizes), "## Verifying", verified, "\n".join(notes)]


def _run_all(
    sides: dict[str, Side], size: int, documents: Path, tokenizer: Path, options: argparse.Namespace, folder: Path
) -> None:
    settings = ("clean=none", "dedup=none", "decontaminate=none", "tokenizer=file", f"tokenizer.path={tokenizer}")
    settings = (*settings, f"partition_bytes={options.partition_bytes}", "mix.held_out_frac=0.01")
    run = run_pipeline(Input("text", documents), WORKERS, folder, *settings)
    stage = run.timing["shards"]
    sides[OURS].add(size, int(stage["utf8_bytes"]), stage["seconds"], run.peak_mb["shards"])
    print(f"{OURS}: {stage}", file=sys.stderr)
    ours = tokens_by_id(folder / "out")
    sides[OURS].tokens = sum(map(len, ours.values()))
    for name in PEERS:
        record = run_side(name, documents, tokenizer, options.peer_bytes, folder / "peer")
        print(f"{name}: {record}", file=sys.stderr)
        sides[name].add(size, record["utf8_bytes"], record["seconds"], record["tree_mb"])
        sides[name].tokens = record["tokens"]
        sides[name].same = compared(ours, folder / "peer")


def run_side(name: str, documents: Path, tokenizer: Path, max_bytes: int, out: Path) -> Record:
    """Run a peer on the first documents, up to so many bytes unless it is fast; what it gives goes to `out`."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    script = str(REPOSITORY / "benchmarks" / "tokens_peers.py")
    limit = str(max_bytes if name != "gigatoken" else 1 << 60)
    threads = ["env", f"RAYON_NUM_THREADS={WORKERS}", "TOKENIZERS_PARALLELISM=true"]
    return run_peer([*threads, sys.executable, script, name, str(documents), str(tokenizer), limit, str(out)])


def tokens_by_id(out: Path) -> dict[str, np.ndarray]:
    """Return the tokens of each document of a data folder by its id, the end-of-text left out."""
    found: dict[str, np.ndarray] = {}
    manifest = Manifest.load(out)
    for split in SPLITS:
        for info in (info for held in manifest.splits[split].values() for info in held.shards):
            prefix = shard_prefix(out, split, info.name)
            shard = Shard(prefix, info)
            ids = pq.read_table(documents_path(prefix), columns=["id"]).column("id").to_pylist()
            starts = shard.document_starts.tolist()
            for name, start, stop in zip(ids, starts, starts[1:], strict=False):
                found[name] = shard.tokens(start, stop - 1)
    return found


def compared(ours: dict[str, np.ndarray], theirs: Path) -> str:
    """Return how many of a peer's documents, which are the first ones, have our ids."""
    tokens, lengths = np.fromfile(theirs / "tokens.bin", "<i4"), np.fromfile(theirs / "lengths.bin", "<i8")
    parts = np.split(tokens, np.cumsum(lengths)[:-1])
    same = sum(np.array_equal(ours[str(number)], part) for number, part in enumerate(parts))
    return f"{same:,} of {len(parts):,}"


def speed_table(sides: dict[str, Side], small: int, large: int) -> str:
    """Return a line a side; rates are of the text that each one encoded."""
    rows = [["", "MB of text", "seconds", "MB/s", f"times {BASE}", "peak MB", "at a tenth", "ids as ours"]]
    base = [seconds / sides[BASE].num_bytes[large] for seconds in sides[BASE].seconds[large]]
    for name, side in sides.items():
        seconds, num_bytes = side.seconds[large], side.num_bytes[large]
        rates = [num_bytes / 1e6 / each for each in seconds]
        times = ratio(base, [each / num_bytes for each in seconds])
        memory = (f"{side.peak_mb[large]:,.0f}", f"{side.peak_mb[small]:,.0f}")
        cells = [f"{num_bytes / 1e6:.1f}", spread(seconds, 2), spread(rates, 1), f"{times:.1f}", *memory]
        rows.append([PEERS.get(name, name), *cells, side.same or "-"])
    return table(rows)


def verify_table(out: Path, repeats: int) -> str:
    """Return how long all shards take to be verified, beside xxhash over the same files, and reading them alone."""
    manifest = Manifest.load(out)
    paths = sorted((out / "shards").rglob("*.bin"))
    num_bytes = sum(path.stat().st_size for path in paths)
    sides: dict[str, Callable[[], object]] = {
        "verify": lambda: verify_shards(out, manifest),
        "xxh3-128 of the .bin": lambda: [_hash(path) for path in paths],
        "reading the .bin": lambda: [_read(path) for path in paths],
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - started)
    rows = [["", "seconds", "MB/s"]]
    rows += [
        [name, spread(taken, 3), spread([num_bytes / 1e6 / each for each in taken], 0)]
        for name, taken in seconds.items()
    ]
    return table(rows)


def _hash(path: Path) -> str:
    state = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(READ_BYTES):
            state.update(piece)
    return state.hexdigest()


def _read(path: Path) -> int:
    buffer, total = bytearray(READ_BYTES), 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
    return total


def _notes(options: argparse.Namespace) -> list[str]:
    return [
        *measured_with(("numpy", "numba", "pyarrow", "tokenizers", "gigatoken"), REPOSITORY, options.repeats),
        f"- {WORKERS} cores a side; {BASE} and Megatron-LM's way encode the first {options.peer_bytes / 1e6:.0f} MB",
        "- Megatron-LM's way is that of its tools/preprocess_data.py: a pool of processes, each encodes lines of JSON "
        "with tokenizers, the parent writes; without its other imports",
        "- times: the median of pairs, one right after the other",
        "- ids as ours: documents whose every id is the same, of those that the side encoded",
        "- verifying reads from the system's cache where it holds the shards; it also looks for ids above the "
        "vocabulary, and hashes indexes and tables of documents",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--input", type=Path, action="append", required=True, metavar="FILE", help=".jsonl, also .gz or .zst; repeat")
    add("--bytes", type=int, default=300_000_000, help="of text to encode")
    add("--peer-bytes", type=int, default=30_000_000, help="of text that the slow sides encode")
    add("--tokenizer", type=Path, help="a tokenizer.json; default: one is trained on the tenth")
    add("--vocab-size", type=int, default=16_384, help="of the trained one")
    add("--partition-bytes", type=int, default=8 << 20, help="of the pipeline: small, so that a tenth has several")
    add("--repeats", type=int, default=3, help="times that everything runs")
    add("--note", default="", help="a line for the page, on what else the machine did")
    add("--out", type=Path, help="markdown file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
