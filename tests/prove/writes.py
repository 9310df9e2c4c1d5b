"""Rows 1 and 11: a run is killed before any one of its writes, flushes, renames and removals, or that call fails."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from pretrain.checkpoint.errors import CheckpointError
from pretrain.checkpoint.reading import newest_checkpoint
from tests.disk import Disk
from tests.prove.bench import PAIR, SHORT, Bench, Recipe, words
from tests.prove.faults import Case, Fault, Outcome
from tests.prove.shim import ALL, FLUSH, NEVER, armed, calls_in, remembering, told
from tests.prove.state import checkpoint_of, state_of

FAMILY = "writes"


@cache
def counted(bench: Bench, recipe: Recipe, kinds: int = ALL) -> list[str]:
    """Return the calls that a run makes in its folder when it goes on from its last but one save to its end."""
    run_dir, log = bench.killed_run(recipe), bench.new_file()
    ended = bench.type(recipe, run_dir, before=armed(run_dir, NEVER, log, kinds))
    assert ended.code == 0, ended.text
    bench.clean(run_dir)
    return calls_in(log)


def every(bench: Bench, numbers: Sequence[int], quick: int) -> list[int]:
    """Return all numbers of calls; where the bench is quick, a few spread over them."""
    return sorted(bench.random.sample(numbers, min(quick, len(numbers)))) if bench.quick else list(numbers)


def telling(bench: Bench, calls: list[str]) -> list[int]:
    """Return the numbers of all calls but writes, and of one write a file: one more changes its length alone."""
    writes: dict[str, list[int]] = {}
    for number, call in enumerate(calls):
        writes.setdefault(call if is_write(call) else str(number), []).append(number)
    return sorted(bench.random.choice(numbers) for numbers in writes.values())


def is_write(call: str) -> bool:
    return call.startswith(("write", "pwrite", "sendfile"))


def kills(bench: Bench) -> list[Case]:
    calls = counted(bench, SHORT)
    return [
        Case(f"before {calls[at]} ({at})", partial(kill_at, bench, SHORT, at))
        for at in every(bench, range(len(calls)), 5)
    ]


def kill_at(bench: Bench, recipe: Recipe, number: int, rank: int = 0) -> Outcome:
    run_dir, log = bench.killed_run(recipe), bench.new_file()
    ended = bench.type(recipe, run_dir, before=on_rank(rank, armed(run_dir, number, log)))
    since_s = time.monotonic()
    note = all_whole(bench, recipe, run_dir)
    outcome = bench.recover(recipe, run_dir, since_s, ended.code != 0)
    bench.clean(run_dir)
    return Outcome(outcome.detected, False, True, outcome.seconds, note) if note else outcome


def on_rank(rank: int, text: str) -> str:
    """Return Python that runs `text` on one rank alone."""
    return f"import os\nif os.environ.get('RANK', '0') == '{rank}':\n" + "".join(
        f"    {line}\n" for line in text.splitlines()
    )


def all_whole(bench: Bench, recipe: Recipe, run_dir: Path) -> str:
    """Return what is wrong with a folder by the name of a checkpoint: there is the whole of it or nothing."""
    for step in range(recipe.every_steps, recipe.max_steps + 1, recipe.every_steps):
        folder = checkpoint_of(run_dir, step)
        try:
            if folder.exists() and state_of(folder) != state_of(checkpoint_of(bench.reference(recipe).run_dir, step)):
                return f"{folder.name} holds another state"
        except CheckpointError as error:
            return f"{folder.name} is half a checkpoint: {error}"
    return ""


def pairs(bench: Bench) -> list[Case]:
    calls = counted(bench, PAIR)
    numbers = sorted(bench.random.sample(range(len(calls)), min(bench.pick(24, 1), len(calls))))
    return [
        Case(f"rank {number % 2} before its call {number}", partial(kill_at, bench, PAIR, number // 2, number % 2))
        for number in numbers
    ]


def losses(bench: Bench) -> list[Case]:
    calls = counted(bench, SHORT)
    found = []
    for at in every(bench, [at for at, call in enumerate(calls) if not is_write(call)], 2):
        for names_kept in (False, True):
            name = f"before {calls[at]} ({at}), {'names' if names_kept else 'nothing'} kept that was not flushed"
            found.append(Case(name, partial(lose_power, bench, at, names_kept)))
    return found


def lose_power(bench: Bench, number: int, names_kept: bool) -> Outcome:
    """Kill at a call, drop what was not flushed, and go on from what a machine would find again."""
    run_dir, store, log = bench.killed_run(SHORT), bench.new_file(), bench.new_file()
    bench.type(SHORT, run_dir, before=remembering(run_dir, store) + armed(run_dir, number, log))
    since_s = time.monotonic()
    disk = Disk(store)
    found = disk.after_power_loss(run_dir, bench.new_run(), names_kept)
    disk.close()
    note = all_whole(bench, SHORT, found)
    step = newest_checkpoint(found).manifest.step
    outcome = bench.recover(SHORT, found, since_s, None)
    bench.clean(run_dir, found, store)
    if note or step < SHORT.max_steps - SHORT.every_steps:
        return Outcome(None, False, bool(note), outcome.seconds, note or f"only step {step} was found again")
    return outcome


def failing(error: int, kinds: int, quick: int) -> Callable[[Bench], list[Case]]:
    def cases(bench: Bench) -> list[Case]:
        calls = counted(bench, SHORT, kinds)
        return [
            Case(f"{calls[at]} ({at})", partial(fail_at, bench, at, kinds, error))
            for at in every(bench, telling(bench, calls), quick)
        ]

    return cases


def fail_at(bench: Bench, number: int, kinds: int, error: int, ever: bool = False) -> Outcome:
    """Let one call fail. The run says so and fails, or goes on and ends as it should; then the same line is typed."""
    run_dir, log = bench.killed_run(SHORT), bench.new_file()
    ended = bench.type(SHORT, run_dir, before=armed(run_dir, number, log, kinds, error, ever))
    since_s = time.monotonic()
    detected = words(*told(error)).search(ended.text) is not None
    note = all_whole(bench, SHORT, run_dir)
    if not note and ended.code == 0 and not detected:
        same, silent, note = bench.judge(SHORT, run_dir)
        bench.clean(run_dir)
        return Outcome(False, same, silent, None, note)
    outcome = bench.recover(SHORT, run_dir, since_s, detected)
    bench.clean(run_dir)
    return Outcome(detected, False, True, None, note) if note else outcome


def forever(error: int) -> Callable[[Bench], list[Case]]:
    def cases(bench: Bench) -> list[Case]:
        calls = counted(bench, SHORT)
        numbers = sorted(bench.random.sample(range(len(calls)), min(bench.pick(20, 2), len(calls))))
        return [Case(f"from {calls[at]} ({at}) on", partial(fail_at, bench, at, ALL, error, True)) for at in numbers]

    return cases


BITWISE = "then the same line ends with the uninterrupted run's state and metrics, bit for bit"
NAMES = "a run's last save and its end"
FAULTS = [
    Fault(
        (1,),
        FAMILY,
        f"SIGKILL before each write, flush, rename, removal of {NAMES}",
        f"no folder by a checkpoint's name holds half of one; {BITWISE}",
        kills,
        2.0,
        ("shim",),
    ),
    Fault(
        (1, 2),
        FAMILY,
        "SIGKILL of one of two ranks before random ones of them",
        f"the run ends with an error; {BITWISE}",
        pairs,
        5.0,
        ("shim",),
        processes=2,
    ),
    Fault(
        (1,),
        FAMILY,
        "power loss before each flush, rename, removal: names and bytes that were not flushed are gone, or bytes alone",
        f"the last committed checkpoint is there; {BITWISE}",
        losses,
        2.5,
        ("shim", "proc"),
    ),
    Fault(
        (11,),
        FAMILY,
        "each flush fails once (EIO)",
        f"the message says so, and what could not be flushed is no checkpoint; {BITWISE}",
        failing(errno.EIO, FLUSH, 3),
        2.0,
        ("shim",),
    ),
    Fault(
        (11,),
        FAMILY,
        "each rename, removal, creation, and a write of each file, fails once (EIO)",
        f"the message says so, or nothing hangs on the call; {BITWISE}",
        failing(errno.EIO, ALL & ~FLUSH, 3),
        2.0,
        ("shim",),
    ),
    Fault(
        (11,),
        FAMILY,
        "the disk turns read-only (EROFS) at a random call, for good",
        f"the message says so; {BITWISE}",
        forever(errno.EROFS),
        2.0,
        ("shim",),
    ),
    Fault(
        (10,),
        FAMILY,
        "the disk is full (ENOSPC) at a random call, for good",
        f"the message says so; {BITWISE}",
        forever(errno.ENOSPC),
        2.0,
        ("shim",),
    ),
]
