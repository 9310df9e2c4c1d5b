"""What can be known of a rank that hangs: its state and its Python stacks; and the words for it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

from pretrain.heartbeat import Beat
from pretrain.run_files import NO_SIGN

# asks a rank for its stacks; SIGUSR1 and SIGUSR2 are the batch system's and the user's own
DUMP_SIGNAL = signal.SIGRTMIN + 7 if sys.platform == "linux" else signal.SIGUSR2
DUMP_WAIT_S = 2.0  # for a stack to be written: longer than any machine takes that isn't stuck itself
DUMP_LOOK_S = 0.05
HELD = "held by a debugger"
STATES = {
    "T": "stopped from outside (SIGSTOP, Ctrl-Z, a batch system that suspends)",
    "t": HELD,
    "D": "inside the kernel, in a call that can't be interrupted (a disk or a network file system that doesn't answer)",
    "Z": "dead, and its parent has not noticed",
    "R": "computing",
    "S": "asleep",
}
IN_ENGINE = "_engine_run_backward"  # of torch.autograd: what is innermost where the gradients cross the ranks


def state_of(pid: int) -> str:
    """Return in words what the system says of a process."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return "gone" if Path("/proc/self").exists() else "unknown: there is no /proc here"
    letter = next((line.split()[1] for line in text.splitlines() if line.startswith("State:")), "?")
    return STATES.get(letter, letter)


def stack_file(folder: Path, local_rank: int) -> Path:
    """Return where that rank's faulthandler writes."""
    return folder / f"{local_rank}.stack"


def take_stacks(pids: dict[int, int], folder: Path) -> dict[int, str]:
    """Ask ranks for their Python stacks; also one that holds the interpreter's lock answers, a stopped one doesn't.

    Args:
        pids: local rank -> process. folder: where they answer.
    Returns:
        Local rank -> its stacks; empty where it didn't answer.
    """
    sizes = {rank: _size(stack_file(folder, rank)) for rank in pids}
    for pid in pids.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, DUMP_SIGNAL)
    until_s = time.monotonic() + DUMP_WAIT_S
    before = dict(sizes)
    while time.monotonic() < until_s:
        time.sleep(DUMP_LOOK_S)
        now = {rank: _size(stack_file(folder, rank)) for rank in pids}
        if now == before and all(now[rank] > sizes[rank] for rank in pids):
            break  # all have answered, and none is writing any more
        before = now
    return {rank: _read_from(stack_file(folder, rank), sizes[rank]) for rank in pids}


def at_fault(hanging: list[Beat], states: dict[int, str], stacks: dict[int, str]) -> list[Beat]:
    """Return which of several ranks at the same place hold the others up, as far as states and stacks tell.

    One that a debugger holds is at fault before all others: it alone is to be left alone.

    Args:
        hanging: at least one. states, stacks: by rank.
    """
    held = [beat for beat in hanging if states[beat.rank] == HELD]
    stopped = [beat for beat in hanging if states[beat.rank] == STATES["T"]]
    own_code = [beat for beat in hanging if stacks[beat.rank] and IN_ENGINE not in innermost(stacks[beat.rank])]
    return held or stopped or (own_code if len(own_code) < len(hanging) else []) or hanging


def innermost(stack: str) -> str:
    """Return the innermost frame of the thread that trains, from what faulthandler wrote: it lists that thread last."""
    main = stack.rpartition("\n\n")[2] if "\n\n" in stack else stack
    return next((line for line in main.splitlines() if line.startswith("  File ")), "")


def fate(kills: bool, held: bool, waits_s: float | None) -> str:
    """Return what comes of a rank that hangs.

    Args:
        kills: whether somebody restarts the ranks when one is killed. held: whether a debugger holds it.
        waits_s: how long other ranks wait for it in one exchange; None where there is no other rank.
    """
    if held:
        why = "a debugger holds it"
    elif kills:
        return "killed: restarted, all go on from the newest checkpoint"
    else:
        why = "nobody would start them again"
    if waits_s is None:
        return f"left alone: {why}"
    return f"left alone: {why}; an exchange that waits {waits_s / 60:.0f} min for it ends the run"


def headline(hanging: list[Beat], silent_s: float, num_ranks: int, then: str) -> str:
    """Return one line: who hangs, where, and what comes of it, in the words of `fate`."""
    beat = hanging[0]
    names = " and ".join(f"rank {each.rank} (process {each.pid})" for each in hanging)
    where = f"step {beat.step + 1}" + (f", micro batch {beat.micro_batch}" if beat.micro_batch else "")
    doing = "waiting for the other ranks" if beat.waiting else beat.phase.words
    others = num_ranks - len(hanging)
    wait = f"; {others} more {'rank waits' if others == 1 else 'ranks wait'} for it" if others else ""
    if len(hanging) > 1:
        wait = "; they can't be told apart" + (f", {others} more wait" if others else "")
    return (
        f"{names} on {socket.gethostname()}{NO_SIGN}{silent_s:.0f} s: {where}, {doing}{wait}; "
        f"{'it is' if len(hanging) == 1 else 'they are'} {then}"
    )


def details(beats: list[Beat], states: dict[int, str], stacks: dict[int, str], silent_s: dict[int, float]) -> str:
    """Return a paragraph a rank: place, state, stacks."""
    parts = []
    for beat in beats:
        doing = "waiting for the other ranks" if beat.waiting else beat.phase.words
        stack = stacks[beat.rank].strip() or "(no stack: it did not answer)"
        parts.append(
            f"rank {beat.rank}, process {beat.pid}: {states[beat.rank]}; {beat.step} steps finished, "
            f"{doing}, no sign for {silent_s[beat.rank]:.0f} s\n{stack}\n"
        )
    return "\n".join(parts)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _read_from(path: Path, offset: int) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")
