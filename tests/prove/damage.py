"""Rows 12 to 14: files of a checkpoint are cut, flipped, missing, foreign, swapped, of another step."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from foundation.errors import GroundworkError
from pretrain.checkpoint.labels import LABEL
from pretrain.checkpoint.reading import newest_checkpoint
from pretrain.run_files import JOURNAL
from tests.prove.bench import PAIR, Bench, tail
from tests.prove.faults import Case, Fault, Outcome
from tests.prove.state import checkpoint_of, state_of

FAMILY = "damage"
POSITIONS = 200
Change = Callable[[Path], None]  # of a file in its place
Reader = Callable[[Path], str]  # a folder -> the hash of all that it holds; raises what a user would be told


def flip(position: float, bit: int) -> Change:
    """Flip one bit of the byte at this part of the file, from 0 to 1."""

    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[min(int(position * len(data)), len(data) - 1)] ^= 1 << bit
        path.write_bytes(data)

    return change


def cut(keep: Callable[[int], int]) -> Change:
    def change(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: keep(len(data))])

    return change


CUTS = {
    "to nothing": cut(lambda size: 0),
    "to 1 byte": cut(lambda size: min(1, size - 1)),
    "to half": cut(lambda size: size // 2),
    "by 1 byte": cut(lambda size: size - 1),
}


@contextmanager
def damaged(path: Path, change: Change) -> Iterator[None]:
    """Change a file for a while."""
    whole = path.read_bytes()
    change(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        path.write_bytes(whole)


UNCHANGED = "what is read is what was written"


def read_damaged(read: Reader, folder: Path, expected: str, name: str) -> tuple[bool, bool, str]:
    """Read a damaged folder.

    Returns:
        Whether the damage was told with the file's name; whether it was used silently; what was said or went wrong,
        UNCHANGED where the damage is in nothing that is used.
    """
    try:
        found = read(folder)
    except GroundworkError as error:
        return name in str(error), False, str(error)
    if found == expected:
        return False, False, UNCHANGED
    return False, True, f"{name} was read as it is, without a word"


class Scratch:
    """A killed run of two ranks whose newest checkpoint is damaged again and again."""

    def __init__(self, bench: Bench) -> None:
        self.run_dir = bench.killed_run(PAIR)
        newest = PAIR.max_steps - PAIR.every_steps
        self.newest, self.before = (checkpoint_of(self.run_dir, step) for step in (newest, newest - PAIR.every_steps))
        self.state = state_of(self.newest)
        self.files = sorted(path.name for path in self.newest.iterdir())

    def passed_over(self, name: str, read: Reader = state_of) -> Outcome:
        """Read the damaged checkpoint; then see that a resume would take the one before it."""
        detected, silent, said = read_damaged(read, self.newest, self.state, name.partition(".")[0])
        taken = newest_checkpoint(self.run_dir).folder
        if said is UNCHANGED:
            return Outcome(None if name == LABEL else False, taken == self.newest, False, None, said)
        recovered = not silent and taken == self.before
        return Outcome(detected, recovered, silent, None, "" if recovered and detected else said)


def change_file(scratch: Scratch, name: str, change: Change, read: Reader = state_of) -> Outcome:
    with damaged(scratch.newest / name, change):
        return scratch.passed_over(name, read)


def cuts(bench: Bench) -> list[Case]:
    scratch = Scratch(bench)
    return [
        Case(f"{name} {how}", partial(change_file, scratch, name, change))
        for name in scratch.files
        for how, change in CUTS.items()
    ]


def flips(bench: Bench, read: Reader = state_of) -> list[Case]:
    scratch, found = Scratch(bench), []
    for name in scratch.files:
        places = [0.0, 1.0, *(bench.random.random() for _ in range(bench.pick(POSITIONS, 20) - 2))]
        for place in places:
            bit = bench.random.randrange(8)
            found.append(
                Case(f"{name} at {place:.4f}, bit {bit}", partial(change_file, scratch, name, flip(place, bit), read))
            )
    return found


def misplaced(bench: Bench) -> list[Case]:
    """Missing, foreign and swapped files, and those of another step."""
    scratch = Scratch(bench)
    found = [Case(f"{name} missing", partial(change_file, scratch, name, Path.unlink)) for name in scratch.files]
    for name in scratch.files:
        other = scratch.before / name
        if other.read_bytes() != (scratch.newest / name).read_bytes():
            change = partial(_replace, other)
            found.append(Case(f"{name} of another step", partial(change_file, scratch, name, change)))
    kinds = ["bin", "json", "sum"]
    found += [Case(f"ranks' .{kind} swapped", partial(swapped, scratch, [kind])) for kind in kinds]
    found.append(Case("all of two ranks' files swapped", partial(swapped, scratch, kinds)))
    return [*found, Case("a foreign file", partial(foreign, scratch))]


def _replace(other: Path, path: Path) -> None:
    shutil.copyfile(other, path)


def swapped(scratch: Scratch, kinds: list[str]) -> Outcome:
    _swap(scratch.newest, kinds)
    outcome = scratch.passed_over("rank_0000")
    _swap(scratch.newest, kinds)
    return outcome


def _swap(folder: Path, kinds: list[str]) -> None:
    for one, two in ((folder / f"rank_00000.{kind}", folder / f"rank_00001.{kind}") for kind in kinds):
        held = one.rename(folder / "held")
        two.rename(one)
        held.rename(two)


def foreign(scratch: Scratch) -> Outcome:
    path = scratch.newest / "rank_00002.bin"
    path.write_bytes(b"x")
    outcome = scratch.passed_over(path.name)
    path.unlink()
    return outcome


def resumed(bench: Bench) -> list[Case]:
    """Real resumes over a damaged newest checkpoint, one a file and kind of damage."""
    changes: dict[str, Change] = {"missing": Path.unlink, "cut to half": CUTS["to half"], "a flipped bit": flip(0.6, 3)}
    names = sorted(path.name for path in checkpoint_of(bench.reference(PAIR).run_dir, PAIR.max_steps).iterdir())
    pairs = [(name, how) for name in names for how in changes]
    chosen = bench.random.sample(pairs, bench.pick(len(pairs), 1))
    return [Case(f"{name} {how}", partial(resume_over, bench, name, changes[how])) for name, how in chosen]


def resume_over(bench: Bench, name: str, change: Change) -> Outcome:
    run_dir = bench.killed_run(PAIR)
    newest = checkpoint_of(run_dir, PAIR.max_steps - PAIR.every_steps)
    change(newest / name)
    since_s = time.monotonic()
    ended = bench.type(PAIR, run_dir)
    same, silent, note = bench.judge(PAIR, run_dir)
    journal = run_dir / JOURNAL
    set_aside = journal.exists() and newest.name in journal.read_text()
    told = set_aside and f"{newest.name}/{name.partition('.')[0]}" in ended.text
    note = note or f"{'' if set_aside else 'not '}set aside in the journal; {tail(ended.text)}" * (not told)
    bench.clean(run_dir)
    detected = None if name == LABEL and not set_aside else told
    return Outcome(detected, same and ended.code == 0, silent, ended.first_step_s - since_s, note)


ALONE = 99  # one at a time: they share a folder
OVER = (
    "the file is named, nothing of the checkpoint is used, the one before it is what a resume takes; label.json, which "
    "is no part of the state, counts as pending"
)
FAULTS = [
    Fault((12,), FAMILY, "each file of a checkpoint of two ranks cut", OVER, cuts, 0.05, processes=ALONE),
    Fault(
        (13,),
        FAMILY,
        f"a bit flipped, {POSITIONS} positions (quick: 20) of each file of a checkpoint of two ranks",
        OVER,
        flips,
        0.03,
        processes=ALONE,
    ),
    Fault(
        (14,),
        FAMILY,
        "missing, foreign, swapped files, and files of another step, in a checkpoint of two ranks",
        OVER,
        misplaced,
        0.05,
        processes=ALONE,
    ),
    Fault(
        (12, 13, 14),
        FAMILY,
        "a resume of two ranks whose newest checkpoint is damaged, each file in three ways",
        "the journal names the checkpoint, the console the file (label.json is no part of the state: unreadable, it "
        "counts as pending); the same line goes on from the one before it and ends with the uninterrupted run's state "
        "and metrics, bit for bit",
        resumed,
        4.0,
        processes=2,
    ),
]
