"""Rows 15 to 18 and 22: what else may lie in a run's folder, who else works in it, and what the clock says."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from foundation.errors import GroundworkError
from pretrain.checkpoint.integrity import folder_name
from pretrain.checkpoint.reading import newest_checkpoint
from tests.prove.bench import SHORT, Bench, tail
from tests.prove.faults import Case, Fault, Outcome
from tests.prove.state import checkpoint_of, state_of

FAMILY = "folders"
NEXT = SHORT.max_steps


def half_save(checkpoints: Path) -> None:
    folder = checkpoints / f".{folder_name(NEXT)}.saving"
    folder.mkdir()
    (folder / "rank_00000.bin").write_bytes(b"x" * 1000)


def half_removal(checkpoints: Path) -> None:
    shutil.copytree(checkpoints / "step_00000004", checkpoints / ".step_00000001.removed")
    (checkpoints / ".step_00000001.removed" / "manifest.json").unlink()


def half_folder(checkpoints: Path) -> None:
    shutil.copytree(checkpoints / "step_00000004", checkpoints / "step_00000005")
    (checkpoints / "step_00000005" / "manifest.json").unlink()


def wrong_name(checkpoints: Path) -> None:
    shutil.copytree(checkpoints / "step_00000004", checkpoints / "step_00000005")


LITTER: dict[str, Callable[[Path], object]] = {
    "a half-written save": half_save,
    "a half-done removal": half_removal,
    "an empty folder by a checkpoint's name": lambda checkpoints: (checkpoints / "step_00000005").mkdir(),
    "a folder by a checkpoint's name without manifest.json": half_folder,
    "a checkpoint under another step's name": wrong_name,
    "an empty file `latest`": lambda checkpoints: (checkpoints / "latest").touch(),
    "a dangling link by a checkpoint's name": lambda checkpoints: (checkpoints / "step_00000005").symlink_to("away"),
    "a dangling link by the next one's name": lambda checkpoints: (checkpoints / folder_name(NEXT)).symlink_to("away"),
    "a file by a checkpoint's name": lambda checkpoints: (checkpoints / "step_00000005").write_bytes(b"x"),
    "a file by the next one's name": lambda checkpoints: (checkpoints / folder_name(NEXT)).write_bytes(b"x"),
    "an empty folder by the next one's name": lambda checkpoints: (checkpoints / folder_name(NEXT)).mkdir(),
    "temporary files of a dead process": lambda checkpoints: (checkpoints.parent / ".status.json.tmp1").touch(),
}


def litter(bench: Bench) -> list[Case]:
    names = bench.random.sample(list(LITTER), bench.pick(len(LITTER), 3))
    return [Case(name, partial(go_on_over, bench, LITTER[name])) for name in names]


def go_on_over(bench: Bench, make: Callable[[Path], object]) -> Outcome:
    run_dir = bench.killed_run(SHORT)
    make(run_dir / "checkpoints")
    outcome = bench.recover(SHORT, run_dir, time.monotonic(), None)
    left = [path.name for path in (run_dir / "checkpoints").glob(".step_*")]
    bench.clean(run_dir)
    return replace(outcome, recovered=False, note=f"left behind: {left}") if left and outcome.recovered else outcome


def locks(bench: Bench) -> list[Case]:
    texts = {"a dead process": "process 999999 on host, since 2001-01-01 00:00:00", "no process": ""}
    texts["a living process that isn't its holder"] = f"process {os.getpid()} on host, since 2001-01-01 00:00:00"
    found = [
        Case(f"the lock file of {who}", partial(go_on_over, bench, partial(_lock, text=t))) for who, t in texts.items()
    ]
    return [*found, Case("a lock that is held", partial(held_lock, bench))]


def _lock(checkpoints: Path, text: str) -> None:
    (checkpoints.parent / ".lock").write_text(text)


def held_lock(bench: Bench) -> Outcome:
    """Hold the run's lock: the line is refused, by the holder's name; once it is given up the line goes on."""
    run_dir, owner = bench.killed_run(SHORT), "process 1 on the moon, since 2001-01-01 00:00:00"
    with (run_dir / ".lock").open("w") as lock:
        lock.write(owner)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = bench.type(SHORT, run_dir)
    outcome = bench.recover(SHORT, run_dir, time.monotonic(), ended.code == 2 and owner in ended.text)
    bench.clean(run_dir)
    return outcome


def twice(bench: Bench) -> list[Case]:
    return [Case(f"race {number}", partial(race, bench)) for number in range(bench.pick(6, 1))]


def race(bench: Bench) -> Outcome:
    """Type the same line twice at once: one trains; the other waits, and finds it finished or leaves."""
    run_dir = bench.new_run()
    both = [bench.wait(line) for line in [bench.start(SHORT, run_dir), bench.start(SHORT, run_dir)]]
    other = min(both, key=lambda ended: ended.text.count("\nstep "))
    said = "finished at step" in other.text or "works here" in other.text
    same, silent, note = bench.judge(SHORT, run_dir)
    bench.clean(run_dir)
    trained = sum("\nstep " in ended.text for ended in both)
    return Outcome(said, same and trained == 1, silent, None, note or f"{trained} of them trained" * (trained != 1))


MANY = replace(SHORT, max_steps=40, every_steps=1)


def readers(bench: Bench) -> list[Case]:
    return [Case("a reader beside a run that saves and prunes at each step", partial(read_beside, bench))]


def read_beside(bench: Bench) -> Outcome:
    """Read the newest checkpoint again and again: each time all of one that was saved, or an error that says why."""
    kept, run_dir = bench.new_run(), bench.new_run()
    assert bench.type(MANY, kept, "checkpoint.keep_last=100").code == 0
    states = {state_of(checkpoint_of(kept, step)) for step in range(1, MANY.max_steps + 1)}
    line, read, errors, wrong = bench.start(MANY, run_dir), 0, 0, 0
    while line.ranks[0].exitcode is None:
        try:
            wrong += state_of(newest_checkpoint(run_dir).folder) not in states
            read += 1
        except GroundworkError:
            errors += 1
    ended = bench.wait(line)
    last = state_of(newest_checkpoint(run_dir).folder) in states
    bench.clean(kept, run_dir)
    note = f"{read} read, {errors} refused, {wrong} mixed; {tail(ended.text) if ended.code else ''}"
    return Outcome(None, not wrong and last and read > 0 and ended.code == 0, wrong > 0, None, note)


def clocks(bench: Bench) -> list[Case]:
    found = []
    for name, turned_s in (("1 h back", -3600), ("a day on", 86400), ("to 1970", -int(time.time()) + 1000)):
        parts = [0.0, *(bench.random.uniform(0.1, 0.7) for _ in range(bench.pick(3, 0)))]
        found += [
            Case(f"{name} after {part:.0%} of the run", partial(turn_clock, bench, turned_s, part)) for part in parts
        ]
    return found


def turn_clock(bench: Bench, turned_s: int, part: float) -> Outcome:
    run_dir = bench.killed_run(SHORT)
    turn = f"ctypes.CDLL(None).prove_turn_clock(ctypes.c_long({turned_s}))"
    after = f"threading.Timer({part * bench.reference(SHORT).seconds}, lambda: {turn}).start()" if part else turn
    ended = bench.type(SHORT, run_dir, before=f"import ctypes, threading\n{after}\n")
    same, silent, note = bench.judge(SHORT, run_dir)
    kept = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    newest, healthy = {"step_00000004", "step_00000006"}, {"step_00000002"}  # two labelled healthy stay in any case
    if not newest <= set(kept) <= newest | healthy:
        same, note = False, f"kept {kept}"
    bench.clean(run_dir)
    return Outcome(None, same and ended.code == 0, silent, None, note)


BITWISE = "the same line ends with the uninterrupted run's state and metrics, bit for bit"
FAULTS = [
    Fault(
        (15,),
        FAMILY,
        "left over: half saves and removals, empty and half folders, dangling links, files by checkpoints' names",
        f"{BITWISE}, and no half save or removal is left",
        litter,
        1.5,
    ),
    Fault(
        (16,),
        FAMILY,
        "a lock of a dead process, of a pid that is another's now, of a living one",
        f"a lock that nobody holds is taken over; one that is held is refused by its holder's name; then {BITWISE}",
        locks,
        10.0,  # three of 2 s, and one that waits 30 s for the lock
    ),
    Fault(
        (17,),
        FAMILY,
        "the same line typed twice at once",
        f"one trains, the other says that it works there or has finished; {BITWISE}",
        twice,
        2.0,
    ),
    Fault(
        (18,),
        FAMILY,
        "checkpoints pruned under a reader",
        "each read gives a state that was saved, whole, or an error",
        readers,
        8.0,
        processes=2,
    ),
    Fault(
        (22,),
        FAMILY,
        "the clock turned back, on, and to 1970, at the start and at a random moment",
        "checkpoints are kept by step; the run ends as the uninterrupted one, bit for bit",
        clocks,
        1.5,
        ("shim",),
    ),
]
