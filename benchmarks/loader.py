"""Tokens per second and core of loading batches, and the time to go on at 90 % of 10 billion tokens.

    pip install megatron-core
    python benchmarks/loader.py --repeats 5 --out docs/benchmarks/loader_cpu.md

The same work for all: shuffled sequences of one shard (uint16, in Megatron-Core's format, which all three read), as
(micro batch, seq_len) int64 inputs and targets on the CPU. The sides take turns (ours, theirs, ...), each time in a new
process with one thread; a rate is tokens over the CPU time of the process, so other processes of the machine don't
count. What is done once, opening and the first batch, is not timed; ours verifies every block of the shard on the way,
which the peers don't. To go on at 90 % is measured on a data folder of 10 billion tokens in 10 million documents whose
`.bin` files are sparse: real sizes, real indices and sums, and zeros for tokens.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
from loader_sides import RESUME, SIDES, Work
from runs import Record, run_peer
from table import commit_of, cpu_name, ratio, spread, table

from data_pipeline.shards.index import index_bytes
from data_pipeline.shards.manifest import Manifest, ShardInfo, SourceManifest, shard_prefix
from data_pipeline.shards.sums import Sums, digest, num_blocks
from data_pipeline.shards.writer import SUFFIXES, SourceWriter
from foundation.hashes import BLOCK_BYTES, hash_bytes

HERE = Path(__file__).resolve().parent
OURS = "groundwork"
DTYPE, VOCAB_SIZE, EOT, MEAN_TOKENS = np.dtype("<u2"), 50257, 0, 1000
# micro batch, accumulation, sequence: nanoGPT's own for GPT-2 on 8 GPUs, one rank's part; and a small step
SHAPES = ((12, 5, 1024), (4, 1, 512))
RESUMED = Work(num_micro_batches=10_000_000_000 // 1024 // 12, micro_batch_size=12, grad_accum_steps=5, seq_len=1024)


def main() -> None:
    """Read the command line, measure, print the table and write it."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        data_dir, large = Path(name) / "data", Path(name) / "large"
        write_data(data_dir, options.tokens)
        works = [work_of(shape, options.tokens) for shape in SHAPES]
        records = {work: measure(work, data_dir, options.repeats) for work in works}
        write_sparse(large, options.resumed_tokens)
        resumed = [run_side(RESUME, large, RESUMED) for _ in range(options.repeats)]
    text = report(records, resumed, options)
    print(text)
    if options.out:
        options.out.write_text(f"# Loading batches\n\n{text}\n")


def work_of(shape: tuple[int, int, int], num_tokens: int) -> Work:
    """Return the work of about one pass over the tokens, in whole steps."""
    micro_batch_size, grad_accum_steps, seq_len = shape
    steps = num_tokens // (seq_len * micro_batch_size * grad_accum_steps)
    return Work(steps * grad_accum_steps, micro_batch_size, grad_accum_steps, seq_len)


def measure(work: Work, data_dir: Path, repeats: int) -> dict[str, list[Record]]:
    """Measure all sides in turns; return side -> a record a repeat."""
    sides = [side for side in SIDES if not side.startswith("megatron") or importlib.util.find_spec("megatron")]
    records: dict[str, list[Record]] = {side: [] for side in sides}
    for repeat in range(repeats):
        for side in sides:
            records[side].append(run_side(side, data_dir, work))
            rate = records[side][-1]["per_core"]
            print(f"{describe(work)}, round {repeat + 1}: {side} {rate / 1e6:.1f} M tokens/s", file=sys.stderr)
    return records


def run_side(side: str, data_dir: Path, work: Work) -> Record:
    """Run one side once, in a process of its own."""
    command = [sys.executable, str(HERE / "loader_sides.py"), side, str(data_dir), json.dumps(asdict(work))]
    return run_peer(command, mapped=False)


def write_data(data_dir: Path, num_tokens: int) -> None:
    """Write a data folder of random tokens in documents of unequal lengths, by the pipeline's own writer."""
    rng = np.random.default_rng(0)
    splits = {}
    for split, count in (("train", num_tokens), ("val", MEAN_TOKENS)):
        documents = tokens = 0
        with SourceWriter(data_dir / "shards" / split, "text", DTYPE, max_shard_bytes=1 << 40) as writer:
            while tokens < count:
                lengths = rng.integers(1, 2 * MEAN_TOKENS, 1000).astype(np.int32)
                ids = rng.integers(EOT + 1, VOCAB_SIZE, int(lengths.sum()), dtype=np.uint16)
                ids[np.cumsum(lengths) - 1] = EOT
                writer.add(ids, lengths)
                documents, tokens = documents + len(lengths), tokens + len(ids)
            shards = writer.finish()
        splits[split] = {"text": SourceManifest(1.0, tokens, documents, 4 * tokens, shards)}
    _finish(data_dir, splits)


def write_sparse(data_dir: Path, num_tokens: int, shard_tokens: int = 500_000_000) -> None:
    """Write a data folder of zeros that takes no room: sparse `.bin` files, with indices and sums as for real ones."""
    splits = {}
    for split, count in (("train", num_tokens), ("val", MEAN_TOKENS)):
        parts = [min(shard_tokens, count - start) for start in range(0, count, shard_tokens)]
        shards = [_sparse_shard(shard_prefix(data_dir, split, f"text_{n:05d}"), part) for n, part in enumerate(parts)]
        documents = sum(shard.num_documents for shard in shards)
        splits[split] = {"text": SourceManifest(1.0, count, documents, 4 * count, shards)}
    _finish(data_dir, splits)


def _sparse_shard(prefix: Path, num_tokens: int) -> ShardInfo:
    prefix.parent.mkdir(parents=True, exist_ok=True)
    lengths = np.full(-(-num_tokens // MEAN_TOKENS), MEAN_TOKENS, dtype=np.int32)
    lengths[-1] -= lengths.sum(dtype=np.int64) - num_tokens
    num_bytes, idx = num_tokens * DTYPE.itemsize, index_bytes(DTYPE, lengths)
    last = num_bytes - (num_blocks(num_bytes) - 1) * BLOCK_BYTES
    blocks = digest(bytes(BLOCK_BYTES)) * (num_blocks(num_bytes) - 1) + digest(bytes(last))
    sums = Sums(num_bytes, digest(idx), blocks).to_bytes()
    bin_path, idx_path, sum_path = (prefix.with_name(prefix.name + suffix) for suffix in SUFFIXES)
    with bin_path.open("wb") as file:
        file.truncate(num_bytes)
    idx_path.write_bytes(idx)
    sum_path.write_bytes(sums)
    return ShardInfo(prefix.name, num_tokens, len(lengths), hash_bytes(sums))


def _finish(data_dir: Path, splits: dict[str, dict[str, SourceManifest]]) -> None:
    (data_dir / "tokenizer.json").write_bytes(b"{}")
    Manifest(hash_bytes(b"{}"), VOCAB_SIZE, EOT, DTYPE.name, splits).save(data_dir)


def report(records: dict[Work, dict[str, list[Record]]], resumed: list[Record], options: argparse.Namespace) -> str:
    """Return the tables and what they rest on."""
    rows = [["micro batch x accumulated x sequence", "side", "M tokens/s a core", "ours, times its rate", "memory, MB"]]
    for work, sides in records.items():
        rows += _rows(work, sides)
    steps = [each["step_s"] * 1000 for each in resumed]
    wholes = [each["open_s"] + each["step_s"] for each in resumed]
    goes_on = [
        ["going on at 90 % of 10 billion tokens", "seconds", "of which the step"],
        [
            f"{options.resumed_tokens / 1e9:g} B tokens, groundwork",
            spread(wholes, 3),
            f"{statistics.median(steps):.1f} ms",
        ],
    ]
    return "\n\n".join([table(rows), table(goes_on), "\n".join(_notes(options))])


def _rows(work: Work, sides: dict[str, list[Record]]) -> Iterator[list[str]]:
    ours = [each["per_core"] for each in sides[OURS]]
    for side, measured in sides.items():
        rates = [each["per_core"] for each in measured]
        times = "-" if side == OURS else f"{ratio(ours, rates):.2f}"
        memory = statistics.median(each["tree_mb"] for each in measured)
        yield [describe(work), side, spread([rate / 1e6 for rate in rates], 1), times, f"{memory:,.0f}"]


def describe(work: Work) -> str:
    """Return the shape of the work."""
    return f"{work.micro_batch_size} x {work.grad_accum_steps} x {work.seq_len:,}"


def _notes(options: argparse.Namespace) -> list[str]:
    packages = ["torch", "numpy", *(["megatron-core"] if importlib.util.find_spec("megatron") else [])]
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return [
        f"- {options.tokens:,} tokens in one shard, each read about once",
        "- memory: of the process at its highest, without pages of mapped files; importing torch alone is most of it",
        f"- machine: {cpu_name()}, one thread; Python {platform.python_version()}, {versions}",
        f"- {options.repeats} repeats in turns, median (least to most); times its rate: median of the pairs'",
        f"- measured at commit {commit_of(HERE)}",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=100_000_000, help="of the shard that is read")
    parser.add_argument("--resumed-tokens", type=int, default=10_000_000_000, help="of the sparse data folder")
    parser.add_argument("--repeats", type=int, default=5, help="times that each side reads all of it")
    parser.add_argument("--folder", type=Path, help="where the data go while it runs; default: the system's own")
    parser.add_argument("--out", type=Path, help="markdown file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
