"""Rows 23 and 24: a run that may not open as many files, or not take as much memory, as it needs."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from tests.prove.bench import SHORT, Bench, tail, words
from tests.prove.faults import Case, Fault, Outcome
from tests.prove.writes import all_whole

FAMILY = "limits"
# each is set by the process itself before anything else, to what it has by then and so much more
FILES = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + {more}, 4096))
"""
MEMORY = """
import pathlib, resource
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + {more} * 2**20,) * 2)
"""
NO_FILES = ("Too many open files",)
NO_MEMORY = ("memory", "Memory", "bad_alloc", "can't start new thread", "Resource temporarily unavailable")


def start_within(bench: Bench, limit: str, more: int, told: tuple[str, ...]) -> Outcome:
    """Go on within a limit: the run ends as it should or says which limit; without it the same line goes on."""
    run_dir = bench.killed_run(SHORT)
    ended = bench.type(SHORT, run_dir, before=limit.format(more=more))
    since_s = time.monotonic()
    note = all_whole(bench, SHORT, run_dir)
    if not note and ended.code == 0:
        same, silent, note = bench.judge(SHORT, run_dir)
        bench.clean(run_dir)
        return Outcome(None, same, silent, None, note)
    said = ended.code != 0 and words(*told).search(ended.text) is not None
    outcome = bench.recover(SHORT, run_dir, since_s, said)
    bench.clean(run_dir)
    if note:
        return Outcome(said, False, True, None, note)
    return outcome if said else replace(outcome, note=outcome.note or f"exit code {ended.code}: {tail(ended.text)}")


def files(bench: Bench) -> list[Case]:
    numbers = range(1, 13) if not bench.quick else (2, 6)
    return [Case(f"{more} more files", partial(start_within, bench, FILES, more, NO_FILES)) for more in numbers]


def memory(bench: Bench) -> list[Case]:
    numbers = (8, 32, 64, 128, 256, 512) if not bench.quick else (32,)
    return [Case(f"{more} MiB more", partial(start_within, bench, MEMORY, more, NO_MEMORY)) for more in numbers]


THEN = "without the limit the same line ends with the uninterrupted run's state and metrics, bit for bit"
FAULTS = [
    Fault(
        (23,),
        FAMILY,
        "a resume that may take 8 to 512 MiB of address space more than at its start (as with ulimit -v)",
        f"the run ends as it should, or with an error that says memory; {THEN}",
        memory,
        2.5,
        ("proc",),
    ),
    Fault(
        (24,),
        FAMILY,
        "a resume that may open 1 to 12 files more than at its start (as with ulimit -n)",
        f"the run ends as it should, or with an error that says that too many files are open; {THEN}",
        files,
        2.5,
        ("proc",),
    ),
]
