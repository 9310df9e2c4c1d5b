"""Rows 1 and 11: a run is killed before any one of its writes, flushes, renames and removals, or that call fails."""

from __future__ import annotations

import errno
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from pretrain.checkpoint.errors import CheckpointError
from pretrain.checkpoint.reading import newest_checkpoint
from tests.disk import Disk
from tests.prove.bench import GRACE_S, PAIR, SHORT, Bench, Recipe, lost_peer_told, tail, words
from tests.prove.faults import Case, Fault, Outcome
from tests.prove.shim import ALL, FLUSH, NEVER, armed, calls_in, remembering, told
from tests.prove.state import checkpoint_of, state_of

FAMILY = "writes"
IN_STEP, IN_THREAD = "checkpoint.asynchronous=false", "checkpoint.asynchronous=true"
# where the run ends as it should, nothing was lost with them: a folder that is there, a name that a rename has used up
NOTHING_HANGS_ON = re.compile(r"mkdir|unlink .*\.tmp")


@cache
def counted(bench: Bench, recipe: Recipe, kinds: int = ALL) -> list[list[str]]:
    """Return for each rank the calls that it makes in its run's folder from the last but one save to the end.

    Saves are not made in a thread here: so the calls of a rank have one order, and a number means one of them.
    """
    run_dir, log = bench.killed_run(recipe), bench.new_file()
    before = "".join(on_rank(rank, armed(run_dir, NEVER, _log(log, rank), kinds)) for rank in range(recipe.ranks))
    ended = bench.type(recipe, run_dir, IN_STEP, before=before)
    assert ended.code == 0, ended.text
    bench.clean(run_dir)
    return [calls_in(_log(log, rank)) for rank in range(recipe.ranks)]


def _log(log: Path, rank: int) -> Path:
    return log.with_name(f"{log.name}.{rank}")


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
    calls = counted(bench, SHORT)[0]
    return [
        Case(f"before {calls[at]} ({at})", partial(kill_at, bench, at)) for at in every(bench, range(len(calls)), 5)
    ]


def some(bench: Bench, number: int) -> list[int]:
    """Return numbers of calls by chance that a run which saves in a thread comes to.

    What it labels hangs on when the thread ends: it may make a few calls less. Its last ones are those after the saves.
    """
    calls = len(counted(bench, SHORT)[0])
    return sorted(bench.random.sample(range(calls * 9 // 10), number))


def kills_beside(bench: Bench) -> list[Case]:
    numbers = some(bench, bench.pick(40, 2))
    return [Case(f"before call {number}", partial(kill_at, bench, number, IN_THREAD)) for number in numbers]


def kill_at(bench: Bench, number: int, how: str = IN_STEP) -> Outcome:
    """Kill a run of one rank before a call: nobody is left to notice; then the same line is typed."""
    run_dir, log = bench.killed_run(SHORT), bench.new_file()
    ended = bench.type(SHORT, run_dir, how, before=armed(run_dir, number, log))
    since_s = time.monotonic()
    require_struck(log, number, counted(bench, SHORT)[0] if how == IN_STEP else None)
    assert ended.code == -signal.SIGKILL, f"exit code {ended.code}"
    note = all_whole(bench, SHORT, run_dir)
    outcome = bench.recover(SHORT, run_dir, since_s, None)
    bench.clean(run_dir)
    return Outcome(None, False, True, outcome.seconds, note) if note else outcome


def require_struck(log: Path, number: int, calls: list[str] | None = None) -> None:
    """Make sure of what a log says: that a run came to its call `number`, and that this is the one of the list.

    Args:
        calls: of a run that nothing befell; None where their order may be another.
    Raises:
        AssertionError: it did not: nothing was injected.
    """
    made = calls_in(log)
    assert len(made) > number, f"nothing was injected: the run made {len(made)} calls, not {number + 1}"
    if calls is not None:
        met, meant = (re.sub(r"tmp\d+", "tmp", each[number]) for each in (made, calls))
        assert met == meant, f"injected before {met}, not before {meant}"


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
    """Kill one of two ranks before one of its own calls, that rank and call by chance."""
    found = []
    for _ in range(bench.pick(24, 1)):
        rank = bench.random.randrange(PAIR.ranks)
        calls = counted(bench, PAIR)[rank]
        at = bench.random.randrange(len(calls))
        found.append(Case(f"rank {rank} before its {calls[at]} ({at})", partial(kill_one, bench, rank, at)))
    return found


def kill_one(bench: Bench, rank: int, number: int) -> Outcome:
    """Kill one of two ranks before a call: the other one says that it lost a peer, or had nothing more to do."""
    run_dir, log = bench.killed_run(PAIR), bench.new_file()
    line = bench.start(PAIR, run_dir, IN_STEP, before=on_rank(rank, armed(run_dir, number, log)))
    ended = bench.wait(line, patience_s=GRACE_S)
    since_s = time.monotonic()
    require_struck(log, number, counted(bench, PAIR)[rank])
    assert line.ranks[rank].exitcode == -signal.SIGKILL, f"exit code {line.ranks[rank].exitcode}"
    told = lost_peer_told(bench, run_dir, ended.text, line.ranks[1 - rank].exitcode)
    note = all_whole(bench, PAIR, run_dir)
    outcome = bench.recover(PAIR, run_dir, since_s, told)
    if told is False:
        outcome = replace(outcome, note=outcome.note or f"the other rank said: {tail(ended.text)}")
    bench.clean(run_dir)
    return replace(outcome, recovered=False, silent=True, note=note) if note else outcome


def losses(bench: Bench) -> list[Case]:
    calls = counted(bench, SHORT)[0]
    found = []
    for at in every(bench, [at for at, call in enumerate(calls) if not is_write(call)], 2):
        for names_kept in (False, True):
            name = f"before {calls[at]} ({at}), {'names' if names_kept else 'nothing'} kept that was not flushed"
            found.append(Case(name, partial(lose_power, bench, at, names_kept)))
    return found


def lose_power(bench: Bench, number: int, names_kept: bool) -> Outcome:
    """Kill at a call, drop what was not flushed, and go on from what a machine would find again."""
    run_dir, store, log = bench.killed_run(SHORT), bench.new_file(), bench.new_file()
    bench.type(SHORT, run_dir, IN_STEP, before=remembering(run_dir, store) + armed(run_dir, number, log))
    since_s = time.monotonic()
    require_struck(log, number, counted(bench, SHORT)[0])
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
        calls = counted(bench, SHORT, kinds)[0]
        return [
            Case(f"{calls[at]} ({at})", partial(fail_at, bench, at, kinds, error))
            for at in every(bench, telling(bench, calls), quick)
        ]

    return cases


def fail_at(bench: Bench, number: int, kinds: int, error: int, ever: bool = False) -> Outcome:
    """Let one call fail, or all from it on. The run says so, or goes on and ends as it should; then type the same line.

    What fails once is of a run whose calls have one order; for good, of one that saves in a thread.
    """
    run_dir, log = bench.killed_run(SHORT), bench.new_file()
    how = IN_THREAD if ever else IN_STEP
    ended = bench.type(SHORT, run_dir, how, before=armed(run_dir, number, log, kinds, error, ever))
    since_s = time.monotonic()
    require_struck(log, number, None if ever else counted(bench, SHORT, kinds)[0])
    detected = words(*told(error)).search(ended.text) is not None
    note = all_whole(bench, SHORT, run_dir)
    if not note and ended.code == 0 and not detected:
        same, silent, note = bench.judge(SHORT, run_dir)
        harmless = same and NOTHING_HANGS_ON.match(calls_in(log)[number]) is not None
        bench.clean(run_dir)
        return Outcome(None if harmless else False, same, silent, None, note)
    outcome = bench.recover(SHORT, run_dir, since_s, detected)
    bench.clean(run_dir)
    return Outcome(detected, False, True, None, note) if note else outcome


def forever(error: int) -> Callable[[Bench], list[Case]]:
    def cases(bench: Bench) -> list[Case]:
        numbers = some(bench, bench.pick(20, 2))
        return [Case(f"from call {at} on", partial(fail_at, bench, at, ALL, error, True)) for at in numbers]

    return cases


BITWISE = "then the same line ends with the uninterrupted run's state and metrics, bit for bit"
NAMES = "a run's last save and its end, saved in the step (checkpoint.asynchronous=false)"
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
        (1,),
        FAMILY,
        "the same before random ones of them, saved in a thread (checkpoint.asynchronous=true)",
        f"as in the step; {BITWISE}",
        kills_beside,
        2.0,
        ("shim",),
    ),
    Fault(
        (1, 2),
        FAMILY,
        "SIGKILL of one of two ranks before a random one of its own calls",
        f"the other rank, or status.json, says that a peer was lost, if it hasn't ended by then; {BITWISE}",
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
        "the message says so, or nothing hangs on the call (a folder that is there already is made, a temporary name "
        f"that a rename has used up is removed); {BITWISE}",
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
