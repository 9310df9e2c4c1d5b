"""The table for the console, and docs/prove.md."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from foundation.cores import usable_cores
from tests.prove.faults import Fault, Outcome, Tally
from tests.prove.needs import REPOSITORY
from tests.prove.runner import Results

HEAD = ("rows", "fault", "injected", "detected", "recovered", "silent", "median s", "worst s")
SHOWN = 8  # failures listed a fault

INTRODUCTION = """# What one machine can prove: the fault matrix, injected

`make prove` wrote this page: it breaks small real runs in every way below and holds what becomes of them against the
uninterrupted run. `make prove PROVE="--list"` lists the faults, `PROVE="--help"` says what else there is.

- **injected**: how often. **detected**: noticed and said, by exit code, message or journal, out of those that there is
  something to notice of, and somebody left to notice it. **recovered**: the same line, typed again or going on by
  itself, gave the uninterrupted run's state (weights, moments, counters, random states of every rank: hashes) and its
  metrics, with no step by hand but taking the fault away: making room, putting a file back. Where a change is to be
  refused: it was, by its key, and the run went on unharmed without it.
- **silent**: a run went on with another state, or damaged bytes were used, and nothing was said. Must be 0.
- **median, worst**: seconds from the fault (or its end, where it has one) to the first step done after it. Lines are
  forked from a process that has imported torch, so a start from nothing costs {imports:.1f} s more here; rows that say
  torchrun start from nothing.
"""


def table(results: Results) -> str:
    """Return the results as a Markdown table, a line a fault, in the order of the matrix."""
    rows = [HEAD, *(_row(tally) for tally in results.tallies), _total(results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(tally: Tally) -> tuple[str, ...]:
    seconds, detected = tally.seconds, f"{tally.detected} of {tally.detectable}" if tally.detectable else "-"
    times = (f"{statistics.median(seconds):.2f}", f"{seconds[-1]:.2f}") if seconds else ("-", "-")
    counts = (str(tally.injected), detected, str(tally.recovered), str(tally.silent))
    return (_rows(tally.fault), tally.fault.name, *counts, *times)


def _total(results: Results) -> tuple[str, ...]:
    tallies = results.tallies
    seconds = sorted(second for tally in tallies for second in tally.seconds)
    times = (f"{statistics.median(seconds):.2f}", f"{seconds[-1]:.2f}") if seconds else ("-", "-")
    detected = f"{sum(t.detected for t in tallies)} of {sum(t.detectable for t in tallies)}"
    sums = (str(sum(t.injected for t in tallies)), detected, str(sum(t.recovered for t in tallies)))
    return ("", "all", *sums, str(sum(t.silent for t in tallies)), *times)


def _rows(fault: Fault) -> str:
    return ", ".join(map(str, fault.rows))


def failures(results: Results) -> str:
    """Return what was silent, not recovered or not noticed, a line each; empty when nothing was."""
    tallies = results.tallies
    return "\n".join(line for tally in tallies for line in _listed(tally.fault, tally.failures + tally.unnoticed))


def _listed(fault: Fault, found: list[tuple[str, Outcome]]) -> list[str]:
    lines = [
        f"- row {_rows(fault)}, {fault.name}: {name}: {_kind(outcome)}: {' '.join(outcome.note.split())[:300]}"
        for name, outcome in found[:SHOWN]
    ]
    more = len(found) - SHOWN
    return lines + ([f"- row {_rows(fault)}, {fault.name}: {more} more like these"] if more > 0 else [])


def _kind(outcome: Outcome) -> str:
    return "silent" if outcome.silent else "nothing was said of it" if outcome.recovered else "not recovered"


def page(results: Results, beyond: list[tuple[str, str]], given: str, imports_s: float) -> str:
    """Return docs/prove.md.

    Args:
        beyond: rows of the matrix that no fault here is for, each with why.
        given: how the prover was called. imports_s: seconds of imports that a start from nothing costs.
    """
    parts = [INTRODUCTION.format(imports=imports_s), _where(results, given), table(results)]
    parts += [f"## What was silent, not recovered or not noticed\n\n{failures(results) or 'Nothing.'}"]
    missed = [f"- row {_rows(fault)}, {fault.name}: needs {why}" for fault, why in results.not_run]
    missed += [f"- row {row}: {why}" for row, why in beyond]
    parts.append("## What was not run\n\n" + "\n".join(missed))
    promises = [f"- row {_rows(t.fault)}, {t.fault.name}: {t.fault.promise}." for t in results.tallies]
    parts.append("## What each one asks for\n\n" + "\n".join(promises))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _where(results: Results, given: str) -> str:
    versions = (
        f"Python {platform.python_version()}, torch {torch.__version__}, {platform.system()} {platform.release()}"
    )
    machine = f"{usable_cores()} cores, load {os.getloadavg()[0]:.1f}"
    counts = f"{sum(tally.injected for tally in results.tallies)} injections in {results.seconds / 60:.1f} minutes"
    return f"{time.strftime('%Y-%m-%d')}, commit {commit()}, {versions}, {machine}; {counts} (`{given}`)."


def commit() -> str:
    """Return the commit of this clone; `+` where files differ from it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(REPOSITORY), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/prove.md")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")


def seconds_of_imports() -> float:
    """Return how long a process takes to import what a line of training imports, once warm."""
    started_s = time.monotonic()
    subprocess.run([sys.executable, "-c", "import launch.trials"], cwd=REPOSITORY, check=True)
    return time.monotonic() - started_s


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
