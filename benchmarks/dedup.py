"""From signatures to candidates beside datasketch's MinHashLSH: the time and memory of the search alone, as it grows.

    python benchmarks/dedup.py --sizes 1000000 10000000 --peer-sizes 50000 1000000 --out docs/benchmarks/dedup_cpu.md

Both sides get the same signatures, made beforehand in a file that is mapped (512 bytes a document) and read once before
the clock starts; the peer gets them as LeanMinHash objects. One document in ten repeats another's signature. Each
measurement is a process of its own, in turns. Memory leaves out the mapped file. Linux only (/proc).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from runs import REPOSITORY, Record, run_peer, tree_mb
from table import commit_of, cpu_name, ratio, spread, table

from data_pipeline.dedup.bands import find_clusters
from data_pipeline.stages.features import StoredArray, StoredRows
from data_pipeline.storage import scratch_array
from foundation.cores import usable_cores
from foundation.progress import Meter

NUM_PERM, BANDS, ROWS = 128, 25, 5
BLOCK_DOCS = 1 << 13
PEER = "datasketch MinHashLSH"


def make_signatures(path: Path, size: int) -> None:
    """Write (size, NUM_PERM) uint32; row 10i + 9 repeats row 5i. The first rows are those of a smaller file."""
    generator = np.random.Generator(np.random.SFC64(1))
    made = np.memmap(path, np.uint32, "w+", shape=(size, NUM_PERM))
    for start in range(0, size, BLOCK_DOCS):
        stop = min(start + BLOCK_DOCS, size)
        made[start:stop] = generator.integers(0, 1 << 32, (BLOCK_DOCS, NUM_PERM), np.uint32)[: stop - start]
        repeats = np.arange(start + (9 - start) % 10, stop, 10)
        made[repeats] = made[repeats // 10 * 5]
    made.flush()


def signatures(path: Path, size: int) -> np.ndarray:
    """Return the first rows of the file, mapped; they are in the system's memory then."""
    rows = np.memmap(path, np.uint32, "r", shape=(size, NUM_PERM))
    for start in range(0, size, BLOCK_DOCS):
        rows[start : start + BLOCK_DOCS].max()
    return rows


def ours(path: Path, size: int, memory_bytes: int) -> Record:
    """Find the clusters, of signatures as the pipeline has them."""
    silent, on_disk = Meter("", None, ""), partial(scratch_array, path.parent)
    find_clusters([np.zeros((2, NUM_PERM), np.uint32)], BANDS, ROWS, memory_bytes, silent)  # loads the kernels
    stored = StoredArray(path, 0, signatures(path, size).shape, np.dtype(np.uint32))
    rows = StoredRows(stored, np.arange(size))
    before, started = tree_mb(os.getpid(), mapped=False), time.perf_counter()
    found = find_clusters([rows], BANDS, ROWS, memory_bytes, silent, usable_cores(), on_disk)
    return {"seconds": time.perf_counter() - started, "before_mb": before, "found": len(found.documents)}


def datasketch(path: Path, size: int) -> Record:
    """Insert so many, then ask for each, as its documentation does."""
    from datasketch import LeanMinHash, MinHash, MinHashLSH

    scheme = {} if not hasattr(MinHash(num_perm=NUM_PERM), "scheme") else {"scheme": MinHash(num_perm=NUM_PERM).scheme}
    sketches = [LeanMinHash(seed=1, hashvalues=row, **scheme) for row in signatures(path, size)]
    before, started = tree_mb(os.getpid(), mapped=False), time.perf_counter()
    lsh = MinHashLSH(num_perm=NUM_PERM, params=(BANDS, ROWS))
    for number, sketch in enumerate(sketches):
        lsh.insert(number, sketch)
    found = sum(len(lsh.query(sketch)) > 1 for sketch in sketches)
    return {"seconds": time.perf_counter() - started, "before_mb": before, "found": found}


def measure(options: argparse.Namespace, path: Path) -> dict[tuple[str, int, int], list[Record]]:
    """Return what was measured by (side, documents, memory_bytes), memory_bytes 0 for the peer."""
    runs = [(PEER, size, 0) for size in options.peer_sizes]
    runs += [("groundwork", size, memory) for size in options.sizes for memory in options.memory_bytes]
    records: dict[tuple[str, int, int], list[Record]] = {}
    for _ in range(options.repeats):
        for run in runs:
            side, size, memory = run
            numbers = [str(size), str(memory)] if memory else [str(size)]
            command = [sys.executable, __file__, "--child", side, str(path), *numbers]
            records.setdefault(run, []).append(run_peer(command, mapped=False))
            print(f"{run}: {records[run][-1]}", file=sys.stderr)
    return records


def report(records: dict[tuple[str, int, int], list[Record]]) -> str:
    """Return a line a measurement; rates are multiples of the peer's at its largest size."""
    peers = [run for run in records if run[0] == PEER]
    base = max(peers, key=lambda run: run[1], default=None)
    times = f"times the peer's at {base[1]:,}" if base else "times"
    rows = [["", "documents", "memory_bytes", "s", "us/document", times, "MB before", "MB at most", "in clusters"]]
    for (side, size, memory), measured in records.items():
        each = [record["seconds"] / size * 1e6 for record in measured]
        peak = max(record["tree_mb"] for record in measured)
        of = f"{ratio([record['seconds'] / base[1] * 1e6 for record in records[base]], each):.1f}" if base else "-"
        seconds = spread([record["seconds"] for record in measured], 2)
        numbers = [f"{size:,}", f"{memory:,}" if memory else "-", seconds, spread(each, 2), of]
        rows.append([side, *numbers, f"{measured[0]['before_mb']:,.0f}", f"{peak:,.0f}", f"{measured[0]['found']:,}"])
    return table(rows)


def main() -> None:
    """Make the signatures, measure, print the table and write it."""
    options = _options()
    if options.child:
        side, path, *numbers = options.child
        print(json.dumps({"groundwork": ours, PEER: datasketch}[side](Path(path), *map(int, numbers))))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "signatures"
        make_signatures(path, max([*options.sizes, *options.peer_sizes]))
        records = measure(options, path)
    notes = [
        f"- machine: {cpu_name()}, {os.cpu_count()} cores, one process a side; NUMBA_NUM_THREADS="
        f"{os.environ.get('NUMBA_NUM_THREADS', 'not set')}",
        f"- Python {platform.python_version()}, numpy {version('numpy')}, numba {version('numba')}, datasketch "
        f"{version('datasketch')}",
        f"- {BANDS} bands of {ROWS} rows of {NUM_PERM} values; the peer: insert and query of each document",
        f"- runs in turns: {options.repeats}, median (least to most); memory the highest of all, the mapped file"
        " left out",
        f"- measured at commit {commit_of(REPOSITORY)}",
    ]
    text = "\n\n".join([report(records), "\n".join(notes)])
    print(text)
    if options.out:
        options.out.write_text(f"# The search for near-duplicates: signatures to candidates\n\n{text}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sizes", type=int, nargs="+", default=[1_000_000], help="documents that ours is given")
    add("--memory-bytes", type=int, nargs="+", default=[1 << 30], help="dedup.memory_bytes")
    add("--peer-sizes", type=int, nargs="*", default=[50_000], help="documents that the peer is given, 6 KB each")
    add("--repeats", type=int, default=3, help="times that everything runs")
    add("--folder", type=Path, help="where the signatures are written, 512 bytes a document; default: the system's")
    add("--out", type=Path, help="markdown file to write")
    add("--child", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
