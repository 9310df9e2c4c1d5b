"""Rows 2 to 6: ranks and their launcher are killed, asked to stop, stopped and continued; a rank raises."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.lines import Line
from tests.prove.bench import GRACE_S, LONG, Bench, lost_peer_told, tail
from tests.prove.faults import Case, Fault, Outcome
from tests.prove.launched import TORCHRUN, Launched, Launcher
from tests.prove.state import checkpoint_of

FAMILY = "signals"
DETECTED_S = 10.0  # within which all ranks have ended when one has raised
SHORT_STOP_S = 3.0


def moments(bench: Bench, number: int, act: Callable[[Bench, float, int], Outcome]) -> list[Case]:
    """Return injections at random moments of a long run of two ranks, from its start to its end."""
    found = []
    for _ in range(number):
        part, rank = bench.random.uniform(0, 0.95), bench.random.randrange(LONG.ranks)
        found.append(Case(f"rank {rank} after {part:.0%} of the run", partial(act, bench, part, rank)))
    return found


def start_and_sleep(bench: Bench, run_dir: Path, part: float, rank: int) -> tuple[Line, int | None]:
    """Start the long run and wait for a part of its time; return the process of a rank, None where it has ended."""
    line = bench.start(LONG, run_dir)
    time.sleep(part * bench.reference(LONG).seconds)
    if line.ranks[rank].exitcode is None:
        return line, line.ranks[rank].pid
    bench.wait(line)  # it was quicker than the reference
    bench.clean(run_dir)
    return line, None


def kill_rank(bench: Bench, part: float, rank: int) -> Outcome:
    run_dir = bench.new_run()
    line, victim = start_and_sleep(bench, run_dir, part, rank)
    if victim is None:
        return kill_rank(bench, part * 0.8, rank)
    os.kill(victim, signal.SIGKILL)
    since_s = time.monotonic()
    ended = bench.wait(line)
    in_time = time.monotonic() - since_s < GRACE_S
    assert line.ranks[rank].exitcode == -signal.SIGKILL, f"exit code {line.ranks[rank].exitcode}"
    told = lost_peer_told(bench, run_dir, ended.text, line.ranks[1 - rank].exitcode)
    outcome = bench.recover(LONG, run_dir, since_s, told if in_time else False)
    bench.clean(run_dir)
    return replace(outcome, note=outcome.note or tail(ended.text) * (told is False))


def stop_rank(bench: Bench, part: float, rank: int) -> Outcome:
    """Stop a rank for a moment: the run waits for it and goes on by itself."""
    run_dir = bench.new_run()
    line, victim = start_and_sleep(bench, run_dir, part, rank)
    if victim is None:
        return stop_rank(bench, part * 0.8, rank)
    os.kill(victim, signal.SIGSTOP)
    time.sleep(SHORT_STOP_S)
    os.kill(victim, signal.SIGCONT)
    ended = bench.wait(line)
    same, silent, note = bench.judge(LONG, run_dir)
    bench.clean(run_dir)
    return Outcome(None, same and ended.code == 0, silent, None, note or tail(ended.text) * (ended.code != 0))


RAISES = {
    "backward": """
import itertools, os, torch
real, calls = torch.Tensor.backward, itertools.count()
def fails(*arguments, **more):
    if next(calls) == {call} and os.environ["RANK"] == "{rank}":
        raise RuntimeError("injected: the kernel failed")
    return real(*arguments, **more)
torch.Tensor.backward = fails
""",
    "the loader": """
import itertools, os
from pretrain.data.loader import ShardLoader
real, calls = ShardLoader.micro_batches, itertools.count()
def fails(*arguments):
    if next(calls) == {call} and os.environ["RANK"] == "{rank}":
        raise OSError("injected: the disk of the data is gone")
    return real(*arguments)
ShardLoader.micro_batches = fails
""",
}


def raises(bench: Bench) -> list[Case]:
    found = []
    for where in bench.pick(3, 1) * list(RAISES):
        call, rank = bench.random.randrange(LONG.max_steps), bench.random.randrange(LONG.ranks)
        found.append(Case(f"in {where} of rank {rank}, call {call}", partial(raise_in, bench, where, call, rank)))
    return found


def raise_in(bench: Bench, where: str, call: int, rank: int) -> Outcome:
    """Let a rank raise: all ranks end soon, and what it said is told with its rank."""
    with Launched(bench, TORCHRUN, before=RAISES[where].format(call=call, rank=rank)) as run:
        run.wait_for("injected: ")
        since_s = time.monotonic()
        code = run.wait()
        in_time = time.monotonic() - since_s < DETECTED_S
        told = run.text.count("Error: injected: ") >= 1 and f"rank      : {rank} " in run.text
        return bench.recover(LONG, run.run_dir, since_s, in_time and told and code != 0)


Act = Callable[[Bench, Launcher, int], Outcome]


def under(launcher: Launcher, act: Act, full: int) -> Callable[[Bench], list[Case]]:
    """Return injections at random steps of a run that a launcher started."""

    def cases(bench: Bench) -> list[Case]:
        steps = [bench.random.randrange(2, LONG.max_steps - 8) for _ in range(bench.pick(full, 1))]
        return [Case(f"at step {step}", partial(act, bench, launcher, step)) for step in steps]

    return cases


def kill_rank_of(bench: Bench, launcher: Launcher, step: int) -> Outcome:
    """Kill a rank: the launcher starts all of them again, and nobody types anything."""
    with Launched(bench, launcher, max_restarts=1) as run:
        run.wait_for_step(step)
        before, victims = run.lines(), run.ranks
        os.kill(victims[step % len(victims)], signal.SIGKILL)
        since_s = time.monotonic()
        seconds = run.wait_for_step(before + 1) - since_s  # one more may have been on its way
        code = run.wait()
        same, silent, note = bench.judge(LONG, run.run_dir)
        return Outcome(run.starts == 2, same and code == 0, silent, seconds, note)


def kill_launcher(bench: Bench, launcher: Launcher, step: int) -> Outcome:
    """Kill the launcher: ranks, watchdog and all else that came of it end within its grace; then the line goes on."""
    with Launched(bench, launcher) as run:
        run.wait_for_step(step)
        run.process.kill()
        run.wait()
        since_s = time.monotonic()
        while (orphans := run.alive()) and time.monotonic() < since_s + GRACE_S:
            time.sleep(0.02)
        run.kill()
        outcome = bench.recover(LONG, run.run_dir, since_s, not orphans)
        return replace(outcome, note=outcome.note or f"left alive: {orphans}" * bool(orphans))


def terminate(bench: Bench, launcher: Launcher, step: int, times: int = 1) -> Outcome:
    """Ask the launcher to stop: the state of this step is saved, within the grace, and said."""
    with Launched(bench, launcher) as run:
        run.wait_for_step(step)
        since_s = time.monotonic()
        for _ in range(times):
            run.process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        run.wait()
        in_time = time.monotonic() - since_s < GRACE_S
        status = bench.status(run.run_dir)
        saved = status.get("status") == "preempted" and checkpoint_of(run.run_dir, status["step"]).is_dir()
        return bench.recover(LONG, run.run_dir, since_s, in_time and saved)


def stop_launcher(bench: Bench, launcher: Launcher, step: int) -> Outcome:
    """Stop the launcher itself for a moment: its ranks don't need it."""
    with Launched(bench, launcher) as run:
        run.wait_for_step(step)
        run.process.send_signal(signal.SIGSTOP)
        time.sleep(SHORT_STOP_S)
        run.process.send_signal(signal.SIGCONT)
        code = run.wait()
        same, silent, note = bench.judge(LONG, run.run_dir)
        return Outcome(None, same and code == 0, silent, None, note)


BITWISE = "the same line ends with the uninterrupted run's state and metrics, bit for bit"
ITSELF = "the run ends by itself as the uninterrupted one, bit for bit"
FAULTS = [
    Fault(
        (2,),
        FAMILY,
        "SIGKILL of a rank at a random moment, from its start to its end",
        "the other rank ends within torchrun's grace and says that a peer was lost, if it hadn't ended by then; "
        f"{BITWISE}",
        lambda bench: moments(bench, bench.pick(40, 2), kill_rank),
        6.0,
        processes=2,
    ),
    Fault(
        (2,),
        FAMILY,
        "the same under torchrun --max-restarts=1",
        f"torchrun starts the ranks again; {ITSELF}",
        under(TORCHRUN, kill_rank_of, 8),
        14.0,
        ("proc",),
        processes=2,
    ),
    Fault(
        (3,),
        FAMILY,
        "SIGKILL of torchrun",
        f"no rank, watchdog or other process that came of it is left after 30 s; {BITWISE}",
        under(TORCHRUN, kill_launcher, 6),
        14.0,
        ("proc",),
        processes=2,
    ),
    Fault(
        (4,),
        FAMILY,
        "SIGTERM to torchrun",
        f"status.json says preempted, the state of that step is saved within 30 s; {BITWISE}",
        under(TORCHRUN, terminate, 6),
        14.0,
        processes=2,
    ),
    Fault(
        (4,),
        FAMILY,
        "SIGTERM to torchrun, twice",
        f"as once; {BITWISE}",
        under(TORCHRUN, partial(terminate, times=2), 4),
        14.0,
        processes=2,
    ),
    Fault(
        (5,),
        FAMILY,
        "SIGSTOP of a rank for 3 s at a random moment",
        f"nothing is to be noticed; {ITSELF}",
        lambda bench: moments(bench, bench.pick(10, 1), stop_rank),
        7.0,
        processes=2,
    ),
    Fault(
        (5,),
        FAMILY,
        "SIGSTOP of torchrun for 3 s",
        f"nothing is to be noticed; {ITSELF}",
        under(TORCHRUN, stop_launcher, 3),
        13.0,
        processes=2,
    ),
    Fault(
        (6,),
        FAMILY,
        "a rank under torchrun raises in backward or in the loader",
        f"torchrun has ended within 10 s, the error is told with its rank; {BITWISE}",
        raises,
        14.0,
        processes=2,
    ),
]
