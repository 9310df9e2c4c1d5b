"""Runs of the pipeline and of peers, each a process of its own, watched from outside. Linux only, as it asks /proc."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from data_pipeline.stages.view import Partition, View

REPOSITORY = Path(__file__).resolve().parent.parent
STAGES = (
    *("clean", "filter", "exact", "near", "paragraphs", "split", "decontaminate", "sample", "augment"),
    *("tokenizer", "shards"),
)
START, END, ALL = "(start)", "(end)", "(all)"  # before the first stage, after the last, the whole command
POLL_S = 0.01
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6
Record = dict[str, Any]  # what a peer prints


@dataclass(frozen=True)
class Input:
    """A corpus. Attributes: path: a .jsonl file, also .gz or .zst, or a pattern; None is the embedded corpus."""

    name: str
    path: Path | None

    @classmethod
    def named(cls, text: str) -> Input:
        """Return the input that `NAME=FILE` stands for."""
        name, _, path = text.rpartition("=")
        if not name or not Path(path).is_file():
            raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE with a file that is there")
        return cls(name, Path(path).resolve())

    @property
    def arguments(self) -> list[str]:
        return ["corpus=jsonl", f"corpus.paths={self.path}"] if self.path else ["corpus=pydocs"]


@dataclass
class Run:
    """One run of the pipeline. Attributes: seconds: as seen from outside; timing: what its records say."""

    seconds: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    timing: dict[str, dict[str, float]] = field(default_factory=dict)

    def seconds_of(self, stage: str) -> float:
        return self.timing[stage]["seconds"] if stage in self.timing else self.seconds[stage]


def run_pipeline(corpus: Input, workers: int, folder: Path, *overrides: str, until: str | None = None) -> Run:
    """Run the pipeline into an empty folder; take its stages' times and its memory from outside.

    Args:
        until: the stage after which the command is stopped; None lets it end.
    """
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    arguments = [*corpus.arguments, f"output_dir={out}", f"executor.workers={workers}", *overrides]
    command = [sys.executable, "-m", "data_pipeline", *arguments]
    ends = {START: out / "work", **{stage: _record_path(out, stage) for stage in STAGES}}
    run, left = Run(), list(ends)
    with (folder / "log").open("wb") as log:
        started = before = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=_env(), stdout=log, stderr=subprocess.STDOUT)
        for now, used in looks(process):
            while left and ends[left[0]].exists():
                run.seconds[left.pop(0)] = now - before
                before = now
            for what in (left[0] if left else END, ALL):
                run.peak_mb[what] = max(run.peak_mb[what], used)
            if until in run.seconds:
                process.terminate()
                process.wait()
    if process.returncode and until not in run.seconds:
        raise SystemExit(f"{' '.join(command)}\n{(folder / 'log').read_text()[-4000:]}")
    ended = time.perf_counter()
    if until is None:
        run.seconds |= {END: ended - before, ALL: ended - started}
        run.timing = json.loads((out / "timing.json").read_text())["stages"]
    else:
        run.timing = {stage: _facts(out, stage)["timing"] for stage in run.seconds if stage != START}
    return run


def corpus_of(out: Path) -> View:
    """Return the corpus as `clean` left it in an output folder of the pipeline, before the filter."""
    facts = _facts(out, "clean")["facts"]
    return View(out / "work", [Partition(**each) for each in facts["partitions"]], facts["file_names"])


def _facts(out: Path, stage: str) -> Record:
    facts: Record = orjson.loads(_record_path(out, stage).read_bytes())["facts"]
    return facts


def _record_path(out: Path, stage: str) -> Path:
    return out / "work" / stage / "stage.json"


def run_peer(command: list[str], mapped: bool = True) -> Record:
    """Run a peer; return what it prints, `tree_mb` at its highest, and `whole_s`, which counts from its start."""
    started, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        for _, used in looks(process, mapped):
            peak = max(peak, used)
        whole = time.perf_counter() - started
        said, complaint = (_written(file) for file in (output, errors))
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{complaint[-4000:]}")
    record: Record = json.loads(said.splitlines()[-1])
    return record | {"whole_s": whole, "tree_mb": peak}


def _written(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def looks(process: subprocess.Popen[Any], mapped: bool = True) -> Iterator[tuple[float, float]]:
    """Yield the time and `tree_mb` every few milliseconds until a process ends."""
    while process.poll() is None:
        yield time.perf_counter(), tree_mb(process.pid, mapped)
        time.sleep(POLL_S)


def tree_mb(pid: int, mapped: bool = True) -> float:
    """Return the resident memory of a process and all its descendants; a page that two share counts twice.

    Args:
        mapped: whether pages of mapped files count, which the system may drop at any time.
    """
    try:
        _, resident, of_files, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, ValueError):  # it ended between two looks
        return 0.0
    pages = resident if mapped else resident - of_files
    return pages * PAGE_MB + sum(tree_mb(int(child), mapped) for child in children)


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}
