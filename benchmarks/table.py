"""What the benchmarks' tables are made of."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from importlib.metadata import version
from pathlib import Path


def table(rows: list[list[str]]) -> str:
    """Return rows, the first of them the header, as a table of markdown."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def spread(values: list[float], digits: int = 0) -> str:
    """Return the median and, of several values, the least and the most."""
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median ratio of the pairs, which were measured one right after the other."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def cpu_name() -> str:
    """Return the processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def commit_of(folder: Path) -> str:
    """Return the commit of a clone."""
    git = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown commit"


def measured_with(packages: tuple[str, ...], repository: Path, repeats: int) -> list[str]:
    """Return the lines of a page that say on what, with what and how often it was measured."""
    libraries = ", ".join(f"{name} {version(name)}" for name in packages)
    return [
        f"- machine: {cpu_name()}, {os.cpu_count()} cores; Python {platform.python_version()}, {libraries}",
        f"- measured at commit {commit_of(repository)}; runs in turns: {repeats}; median (least to most)",
    ]
