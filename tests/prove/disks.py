"""Rows 10 and 11 on real small disks: full, without inodes, read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.prove.bench import SHORT, Bench, words
from tests.prove.faults import Case, Fault, Outcome
from tests.prove.writes import all_whole

FAMILY = "disks"
NO_ROOM = ("No space left on device", "no room", "the disk has room for")
READ_ONLY = ("Read-only file system",)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small disk in memory at `folder`."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, room_bytes: int) -> Path:
    """Write one file that leaves `room_bytes`, whole pages of it; return it."""
    filler = disk / "filler"
    free = shutil.disk_usage(disk).free
    with filler.open("wb") as file:
        file.write(bytes(max(0, free - room_bytes)))
    return filler


def use_inodes(disk: Path, room: int) -> Path:
    """Make empty files until `room` more can be made; return their folder."""
    folder = disk / "files"
    folder.mkdir()
    for number in range(os.statvfs(disk).f_favail - room):
        (folder / str(number)).touch()
    return folder


def free(made: Path) -> None:
    if made.is_dir():
        shutil.rmtree(made)
    else:
        made.unlink()


def short_of(bench: Bench, options: str, use: Callable[[Path], Path], part: float) -> Outcome:
    """Use a disk up, at the start or at a moment of the run; then make room and type the same line."""
    with mounted(bench.new_run(), options) as disk:
        run_dir = bench.killed_run(SHORT, disk / "run")
        made = use(disk) if part == 0 else None
        line = bench.start(SHORT, run_dir)
        time.sleep(part * bench.reference(SHORT).seconds)
        made = made or use(disk)
        ended = bench.wait(line)
        note = all_whole(bench, SHORT, run_dir)
        free(made)
        if note:
            return Outcome(False, False, True, None, note)
        detected = words(*NO_ROOM).search(ended.text) is not None
        if ended.code == 0:  # it had written all that counts before the disk was full
            same, silent, note = bench.judge(SHORT, run_dir)
            return Outcome(detected or None, same, silent, None, note)
        return bench.recover(SHORT, run_dir, time.monotonic(), detected)


def full_disks(bench: Bench) -> list[Case]:
    found = []
    for room in [0, *(bench.random.randrange(2_000_000) for _ in range(bench.pick(12, 1)))]:
        use = partial(fill, room_bytes=room)
        found.append(Case(f"{room} bytes free at the start", partial(short_of, bench, "size=8m", use, 0.0)))
    for _ in range(bench.pick(8, 1)):
        part, use = bench.random.uniform(0.1, 0.9), partial(fill, room_bytes=0)
        found.append(Case(f"full after {part:.0%} of the run", partial(short_of, bench, "size=8m", use, part)))
    return found


def no_inodes(bench: Bench) -> list[Case]:
    found = []
    for room in range(0, bench.pick(12, 2)):
        use = partial(use_inodes, room=room)
        found.append(Case(f"{room} files left", partial(short_of, bench, "size=8m,nr_inodes=80", use, 0.0)))
    return found


def read_only(bench: Bench) -> list[Case]:
    return [Case("at the start", partial(start_read_only, bench)) for _ in range(bench.pick(2, 1))]


def start_read_only(bench: Bench) -> Outcome:
    with mounted(bench.new_run(), "size=8m") as disk:
        run_dir = bench.killed_run(SHORT, disk / "run")
        _remount(disk, "ro")
        ended = bench.type(SHORT, run_dir)
        _remount(disk, "rw")
        told = words(*READ_ONLY).search(ended.text) is not None and "runs_dir" in ended.text
        return bench.recover(SHORT, run_dir, time.monotonic(), told and ended.code == 2)


def _remount(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(disk)], check=True)


THEN = "once there is room the same line ends with the uninterrupted run's state and metrics, bit for bit"
FAULTS = [
    Fault(
        (10,),
        FAMILY,
        "a disk of 8 MiB with random room left, or full at a random moment",
        f"the message says so, the run ends with an error or is whole, the earlier checkpoints are whole; {THEN}",
        full_disks,
        2.5,
        ("mounts",),
    ),
    Fault(
        (11,),
        FAMILY,
        "a disk with room for 0, 1, 2, ... 11 more files",
        f"as on a full disk; {THEN}",
        no_inodes,
        2.5,
        ("mounts",),
    ),
    Fault(
        (11,),
        FAMILY,
        "a read-only disk at the start",
        f"exit code 2, the message names runs_dir and the reason; {THEN.replace('there is room', 'it is writable')}",
        read_only,
        2.5,
        ("mounts",),
    ),
]
