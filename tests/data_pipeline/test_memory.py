"""Memory while the corpus grows tenfold: real runs of two workers, watched from outside, stage by stage.

What is watched is `RssAnon` of /proc/<pid>/status, memory that belongs to a process: pages of mapped files (signatures,
shingle sets, counts of paragraphs) are the system's to drop, and would count in the resident size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation.files import read_json
from tests.data_pipeline.all_stages import ALL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc, as Linux has it"),
]

END = "page"  # what comes behind the stages
SMALL, LARGE = 20_000, 200_000  # documents
NOISE = 16 << 20  # bytes: what allocators hold back differs that much from run to run
PARENT_BYTES = (
    160  # of a document of this corpus in the parent, two fifths of which go or are cut; see docs/decisions.md
)
WORDS = np.array([f"{a}{b}{c}" for a in "bdfgklmnprstvz" for b in "aeiou" for c in ("n", "sto", "rim", "x")], object)
NUM_ITEMS = 500
SCRIPT = """
import json, sys
from data_pipeline.pipeline import check_config, run

if __name__ == "__main__":
    run(**check_config(json.loads(sys.argv[1])))
"""


def prose(rng: np.random.Generator, count: int, words: int) -> list[str]:
    return [" ".join(row) for row in WORDS[rng.integers(0, len(WORDS), (count, words))].tolist()]


def write_corpus(folder: Path, num_docs: int) -> None:
    """Of ten documents one is a copy, one a near copy, two hold a paragraph that stands in four, one a test item."""
    rng = np.random.default_rng(7)
    items = prose(rng, NUM_ITEMS, 20)
    (folder / "items.jsonl").write_text("".join(json.dumps({"question": item}) + "\n" for item in items))
    with (folder / "docs.jsonl").open("w") as file:
        for first in range(0, num_docs, 1000):
            texts, shared = prose(rng, 1000, 30), prose(rng, 50, 12)
            for at in range(0, 1000, 10):
                texts[at + 4] = texts[at + 3].upper()
                texts[at + 5] = texts[at + 2] + " more"
                texts[at + 6] += f"\n\n{shared[at // 20]}"
                texts[at + 7] += f"\n\n{shared[at // 20]}"
                texts[at + 8] += f" {items[(first + at) // 10 % NUM_ITEMS]} more"
            file.writelines(json.dumps({"id": str(first + at), "text": text}) + "\n" for at, text in enumerate(texts))


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "pipe.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture(scope="module")
def watched(
    config: Callable[..., dict[str, Any]], script: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], dict[str, tuple[int, int]]]:
    """Run a corpus of so many documents; return of each stage the peaks of parent and workers, bytes."""

    def watched(num_docs: int) -> dict[str, tuple[int, int]]:
        folder = tmp_path_factory.mktemp("corpus")
        write_corpus(folder, num_docs)
        corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(folder / "docs.jsonl")]}
        paragraphs = {"_target_": "data_pipeline.dedup.paragraphs.RepeatedParagraphs", "memory_bytes": 1 << 20}
        decontaminate = {
            "_target_": "data_pipeline.decontaminate.ngram.NGram",
            "test_sets": [str(folder / "items.jsonl")],
            "max_document_frequency": num_docs,
        }
        given = {"corpus": corpus, "paragraphs": paragraphs, "decontaminate": decontaminate, "partition_bytes": 1 << 20}
        tree = config(folder, folder / "out", executor__workers=2, mix__held_out_frac=1e-4, **given)
        tree["dedup"] |= {"memory_bytes": 1 << 22, "keep": "longest", "save_signatures": False}
        peaks = watch(script, tree, folder / "out")
        counts = read_json(folder / "out/ledger.json")["stages"]
        gone = {stage: sum(sum(source["dropped"].values()) for source in counts[stage].values()) for stage in counts}
        assert gone["exact"] == gone["near"] == num_docs // 10
        assert gone["decontaminate"] >= num_docs // 10 * 0.99
        assert read_json(folder / "out/ledger.json")["counts"]["paragraphs"]["documents_cut"] == num_docs * 3 // 20
        return peaks

    watched(2000)  # what compiles kernels takes more memory than any corpus here
    return watched


def watch(script: Path, tree: dict[str, Any], out: Path) -> dict[str, tuple[int, int]]:
    command = [sys.executable, str(script), json.dumps(tree)]
    said = out.with_name("said.txt")
    with said.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    peaks: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    names, at = [*ALL, END], 0
    while process.poll() is None:
        workers = filter(is_worker, children_of(process.pid))
        parent, worker = anonymous_bytes(process.pid), max(map(anonymous_bytes, workers), default=0)
        passed = at
        while at < len(ALL) and (out / "work" / names[at] / "stage.json").exists():
            at += 1
        for name in names[passed : at + 1]:  # one that ended in between is no less than looked at
            peaks[name] = [max(pair) for pair in zip(peaks[name], (parent, worker), strict=True)]
        time.sleep(0.002)
    assert process.returncode == 0, said.read_text()
    return {stage: (parent, worker) for stage, (parent, worker) in peaks.items()}


def children_of(pid: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208, a path that may be gone
        found = [Path(f"/proc/{pid}/task/{thread}/children").read_text().split() for thread in threads]
    except OSError:
        return []
    return [int(child) for children in found for child in children]


def is_worker(pid: int) -> bool:
    """Return whether a child runs what it was started for: until then it shows the memory of its parent as its own.

    That lasts a millisecond, which one run is looked at in and another is not: 30 MB of difference between the two.
    """
    try:
        return b"--multiprocessing-fork" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def anonymous_bytes(pid: int) -> int:
    """Return what a process holds of its own; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:")), 0)


@pytest.mark.timeout(900)
def test_memory_is_flat_but_for_some_bytes_a_document(watched: Callable[[int], dict[str, tuple[int, int]]]) -> None:
    small, large = watched(SMALL), watched(LARGE)
    if grown(small, large):  # what allocators hold back; what grows with the corpus does so in each run
        again = watched(LARGE)
        large = {
            stage: (min(large[stage][0], again[stage][0]), min(large[stage][1], again[stage][1])) for stage in large
        }
    assert all(worker for _, worker in small.values()), small  # they were seen at all
    assert not grown(small, large)


def grown(small: dict[str, tuple[int, int]], large: dict[str, tuple[int, int]]) -> list[str]:
    """Return where a process held more of the larger corpus than it may, in words."""
    found = []
    for stage, peaks in large.items():
        allowed = (NOISE + PARENT_BYTES * (LARGE - SMALL), NOISE)
        for who, was, now, most in zip(("parent", "worker"), small[stage], peaks, allowed, strict=True):
            print(f"{stage}, {who}: {was:,} bytes, then {now:,}", file=sys.stderr)
            if now - was >= most:
                found.append(f"{stage}, {who}: {was:,} bytes, then {now:,}; {most:,} more are allowed")
    return found
