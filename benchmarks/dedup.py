"""From signatures to clusters beside datasketch's MinHashLSH: python benchmarks/dedup.py --sizes 1000000 2000000.

Each measurement is a process of its own, whose peak of memory is told apart: signatures are made on the fly and never
held, so what is measured is what the search holds. One document in ten repeats another's signature. The peer is given
the same signatures, ready made, on a part of them; its time goes by the document. Linux only (/proc).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from table import cpu_name, table

from data_pipeline.dedup.bands import find_clusters
from data_pipeline.dedup.shingles import mix64

NUM_PERM, BANDS, ROWS = 128, 25, 5


class Made:
    """Signatures by position; document 10i + 9 repeats document 5i."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, rows: slice | np.ndarray, /) -> np.ndarray:
        at = np.arange(*rows.indices(self.size)) if isinstance(rows, slice) else rows
        of = np.where(at % 10 == 9, at // 10 * 5, at).astype(np.uint64)
        places = of[:, None] * np.uint64(NUM_PERM) + np.arange(NUM_PERM, dtype=np.uint64)
        return (mix64(places) >> np.uint64(32)).astype(np.uint32)


def peak_mb() -> float:
    """Return the most memory that this process held, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def ours(size: int, memory_bytes: int) -> dict[str, float]:
    """Find the clusters of so many documents; the time to make the signatures is measured beside it and taken off."""
    find_clusters([Made(1000)], BANDS, ROWS, memory_bytes)  # compiles
    before, documents = peak_mb(), Made(size)
    started = time.perf_counter()
    for start in range(0, size, 1 << 13):
        documents[start : start + (1 << 13)]
    making = time.perf_counter() - started
    passes = -(-BANDS // max(memory_bytes // (24 * size), 1))
    started = time.perf_counter()
    found = find_clusters([documents], BANDS, ROWS, memory_bytes)
    seconds = time.perf_counter() - started - making * passes
    return {"seconds": seconds, "before_mb": before, "peak_mb": peak_mb(), "found": len(found.documents)}


def datasketch(size: int) -> dict[str, float]:
    """Insert so many, then ask for each, as its documentation does."""
    from datasketch import LeanMinHash, MinHash, MinHashLSH

    scheme = {} if not hasattr(MinHash(num_perm=NUM_PERM), "scheme") else {"scheme": MinHash(num_perm=NUM_PERM).scheme}
    sketches = [LeanMinHash(seed=1, hashvalues=row, **scheme) for row in Made(size)[:]]
    before, started = peak_mb(), time.perf_counter()
    lsh = MinHashLSH(num_perm=NUM_PERM, params=(BANDS, ROWS))
    for number, sketch in enumerate(sketches):
        lsh.insert(number, sketch)
    found = sum(len(lsh.query(sketch)) > 1 for sketch in sketches)
    return {"seconds": time.perf_counter() - started, "before_mb": before, "peak_mb": peak_mb(), "found": found}


def measured(*arguments: str) -> dict[str, float]:
    """Return what a child of this script measured."""
    done = subprocess.run([sys.executable, __file__, "--child", *arguments], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--memory-bytes", type=int, nargs="+", default=[1 << 30])
    parser.add_argument("--peer-size", type=int, default=50_000)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, *numbers = options.child
        print(json.dumps({"ours": ours, "datasketch": datasketch}[name](*map(int, numbers))))
        return
    runs = [("datasketch " + version("datasketch"), options.peer_size, 0)]
    runs += [("groundwork", size, memory) for size in options.sizes for memory in options.memory_bytes]
    rows = [["", "documents", "memory_bytes", "seconds", "us/document", "MB before", "MB at most", "in clusters"]]
    for name, size, memory in runs:
        result = measured("ours", str(size), str(memory)) if memory else measured("datasketch", str(size))
        each = result["seconds"] / size * 1e6
        memories = f"{result['before_mb']:,.0f}", f"{result['peak_mb']:,.0f}"
        numbers = f"{size:,}", f"{memory:,}", f"{result['seconds']:.2f}", f"{each:.2f}"
        rows.append([name, *numbers, *memories, f"{result['found']:,.0f}"])
        print(rows[-1], file=sys.stderr)
    print(table(rows))
    print(
        f"\n- machine: {cpu_name()}; one process, one thread\n- {BANDS} bands of {ROWS} rows, {NUM_PERM} permutations"
    )


if __name__ == "__main__":
    main()
