"""Rows 5, 7, 25 and 31, and 2 to 4 under launcher=local: a watchdog, a count of attempts, a comparison of ranks."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from functools import partial

from tests.prove.bench import LONG, WAIT_S, Bench, tail
from tests.prove.faults import Case, Fault, Outcome
from tests.prove.launched import LOCAL, TORCHRUN, Launched, Launcher
from tests.prove.signals import BITWISE, ITSELF, RAISES, kill_launcher, kill_rank_of, terminate, under

FAMILY = "restarts"
HANG_TIMEOUT = "trainer.hang_timeout_s=5"  # the least that is allowed
TRIES = 3  # at one step, as the documentation promises


def stop_for_ever(bench: Bench, launcher: Launcher, step: int) -> Outcome:
    """Stop a rank for ever: the watchdog names it, and the launcher starts all of them again."""
    with Launched(bench, launcher, max_restarts=1, more=[HANG_TIMEOUT]) as run:
        run.wait_for_step(step)
        rank = step % len(run.ranks)
        os.kill(run.ranks[rank], signal.SIGSTOP)
        return _found_by_watchdog(bench, run, rank)


def hold_lock(bench: Bench, launcher: Launcher, step: int) -> Outcome:
    """Let a rank hang for ever with the interpreter's lock held: no thread of its own can notice."""
    rank, struck = step % LONG.ranks, bench.new_file()
    before = HOLD_LOCK.format(step=step, rank=rank, struck=str(struck))
    with Launched(bench, launcher, max_restarts=1, before=before, more=[HANG_TIMEOUT]) as run:
        run.wait_for_step(step - 1)
        until_s = time.monotonic() + WAIT_S
        while not struck.exists():
            assert time.monotonic() < until_s and run.process.poll() is None, f"nothing was injected: {run.text}"
            time.sleep(0.01)
        return _found_by_watchdog(bench, run, rank)


def _found_by_watchdog(bench: Bench, run: Launched, rank: int) -> Outcome:
    since_s = time.monotonic()
    before = run.lines()
    seconds = run.wait_for_step(before + 1) - since_s  # one more may have been on its way
    code = run.wait()
    named = f"watchdog: rank {rank} " in run.text and (run.run_dir / "hang.txt").exists()
    same, silent, note = bench.judge(LONG, run.run_dir)
    return Outcome(named, same and code == 0, silent, seconds, note or tail(run.text) * (code != 0))


def crash_again(bench: Bench, launcher: Launcher, step: int) -> Outcome:
    """Let every start fail in the same step: no endless loop, and it is said; without the fault the line goes on."""
    call = 2 * step  # two micro batches a step and rank
    raises = RAISES["backward"].replace("itertools.count()", "itertools.count(2 * first_step())")
    before = FIRST_STEP + raises.format(call=call, rank=step % LONG.ranks)
    with Launched(bench, launcher, max_restarts=8, before=before) as run:
        code = run.wait()
        since_s, tries = time.monotonic(), run.starts
        told = code != 0 and tries == TRIES and "a crash loop" in run.text
        outcome = bench.recover(LONG, run.run_dir, since_s, told)
        return replace(outcome, note=outcome.note or f"{tries} tries; {tail(run.text)}" * (not told))


HOLD_LOCK = """
import ctypes, itertools, os, pathlib, pretrain.train as loop
real, calls, struck = loop.forward_backward, itertools.count(), pathlib.Path({struck!r})
def holds(*arguments):
    if next(calls) == {step} and os.environ["RANK"] == "{rank}" and not struck.exists():
        struck.touch()
        while True:  # a signal ends a sleep early
            ctypes.PyDLL(None).sleep(60)
    return real(*arguments)
loop.forward_backward = holds
"""
# where a start goes on: the newest checkpoint of the run that its command line names
FIRST_STEP = """
import pathlib, sys
def first_step():
    given = dict(text.split("=", 1) for text in sys.argv if "=" in text)
    folder = pathlib.Path(given["runs_dir"]) / given["run_name"] / "checkpoints"
    return max([int(path.name[5:]) for path in folder.glob("step_*") if path.name[5:].isdecimal()], default=0)
"""
FLIP = """
import itertools, os, torch, pretrain.train as loop
real, calls = loop.forward_backward, itertools.count()
def flips(run, *arguments):
    if next(calls) == {step} and os.environ["RANK"] == "{rank}":
        bits = max(run.model.parameters(), key=torch.numel).detach().view(-1).view(torch.int32)
        bits[{place} % len(bits)] ^= 1 << {bit}
    return real(run, *arguments)
loop.forward_backward = flips
"""


COMPARED = replace(LONG, more=("trainer.check_replicas_every_steps=1",))


def flipped_weights(bench: Bench) -> list[Case]:
    found = []
    for _ in range(bench.pick(8, 1)):
        step, rank = bench.random.randrange(1, LONG.max_steps - 1), bench.random.randrange(LONG.ranks)
        place, bit = bench.random.randrange(10**6), bench.random.randrange(31)
        found.append(
            Case(f"bit {bit} on rank {rank} in step {step}", partial(flip_weight, bench, step, rank, place, bit))
        )
    return found


def flip_weight(bench: Bench, step: int, rank: int, place: int, bit: int) -> Outcome:
    """Flip a bit of a weight on one rank: the ranks are found to differ, and nothing that came of it is saved."""
    run_dir = bench.new_run()
    before = FLIP.format(step=step, rank=rank, place=place, bit=bit)
    ended = bench.type(COMPARED, run_dir, before=before)
    since_s = time.monotonic()
    told = ended.code != 0 and f"rank {rank}" in ended.text and "model." in ended.text
    outcome = bench.recover(COMPARED, run_dir, since_s, told)
    silent = ended.code == 0
    bench.clean(run_dir)
    return Outcome(told, outcome.recovered and not silent, outcome.silent or silent, outcome.seconds, outcome.note)


FAULTS = [
    Fault(
        (5,),
        FAMILY,
        "SIGSTOP of a rank under torchrun --max-restarts=1, for ever",
        f"the watchdog names the rank, its stacks are in hang.txt, the ranks are started again; {ITSELF}",
        under(TORCHRUN, stop_for_ever, 4),
        25.0,
        ("proc",),
        processes=2,
    ),
    Fault(
        (7,),
        FAMILY,
        "a rank under torchrun --max-restarts=1 hangs for ever with the interpreter's lock held",
        f"the watchdog, a process of its own, names the rank, the ranks are started again; {ITSELF}",
        under(TORCHRUN, hold_lock, 4),
        25.0,
        ("proc",),
        processes=2,
    ),
    Fault(
        (25,),
        FAMILY,
        "a rank under torchrun --max-restarts=8 raises in the same step of every start",
        f"it ends after {TRIES} tries and says that it is a crash loop; {BITWISE}",
        under(TORCHRUN, crash_again, 2),
        40.0,
        processes=2,
    ),
    Fault(
        (31,),
        FAMILY,
        "a bit of a weight flipped on one of two ranks",
        f"the message names rank and tensor, nothing that came of it is saved; {BITWISE}",
        flipped_weights,
        6.0,
        processes=2,
    ),
]
for row, name, promise, act, full in (
    (2, "SIGKILL of a rank", f"the ranks are started again; {ITSELF}", kill_rank_of, 4),
    (3, "SIGKILL of the launcher", f"no rank or watchdog is left after 30 s; {BITWISE}", kill_launcher, 3),
    (4, "SIGTERM to the launcher", f"preempted, saved within 30 s; {BITWISE}", terminate, 3),
):
    cases, needed = under(LOCAL, act, full), ("proc",)
    FAULTS.append(Fault((row,), FAMILY, f"{name} under launcher=local", promise, cases, 14.0, needed, processes=2))
