"""The bench: small real runs, typed as users type them, their reference, and the judgement of a run after a fault."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import signal
import threading
import time
from dataclasses import dataclass
from functools import cache, cached_property
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from tests.corpus import write_pydocs
from tests.lines import TINY, Line, Lines, one_thread
from tests.prove.faults import Outcome
from tests.prove.needs import REPOSITORY, missing
from tests.prove.shim import build_shim
from tests.prove.state import checkpoint_of, lines_of, state_of

TRAIN = REPOSITORY / "launch" / "train.py"
STEP = re.compile(r"^step +[\d,]+/", re.MULTILINE)
# what a rank says that was left alone: in a collective, and before the ranks had met
LOST = re.compile(
    "another rank has ended|a collective failed, and no rank said why|ranks came within|gave no sign within"
)
WAIT_S = 240.0
GRACE_S = 30.0  # what torchrun gives ranks between its SIGTERM and its SIGKILL
MONITOR_S = 0.1  # after which torchrun notices that a rank has ended
DROPOUT = ["model.dropout=0.1"]  # masks hang on (seed, step, sample): no split may show in them


@dataclass(frozen=True, slots=True)
class Recipe:
    """A run: how many ranks, how many steps, how often it saves; `more` are further overrides."""

    ranks: int = 1
    max_steps: int = 6
    every_steps: int = 2
    more: tuple[str, ...] = ()


SHORT = Recipe()
PAIR = Recipe(ranks=2)
LONG = Recipe(ranks=2, max_steps=60, every_steps=6)


@dataclass(frozen=True, slots=True)
class Reference:
    """An uninterrupted run: what all others are held against.

    Attributes:
        run_dir: of it, with its last three checkpoints. state: hash of the last one. lines: of its metrics.
        seconds: from its start to its end.
    """

    run_dir: Path
    state: str
    lines: list[dict[str, Any]]
    seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How a line ended: the largest exit code (a signal's is negative), what it printed, when a first step was done."""

    code: int
    text: str
    first_step_s: float


class Bench:
    """Where the faults are injected.

    Args:
        folder: for everything; empty.
        seed: of all random choices.
        quick: few injections of each fault.
    """

    def __init__(self, folder: Path, seed: int, quick: bool) -> None:
        self.folder, self.seed, self.quick = folder, seed, quick
        self.random = random.Random(seed)
        self.lines = Lines(folder)
        start_forking(build_shim(folder) if not missing("shim") else None)
        self._names = itertools.count()
        self._references: dict[Recipe, Reference] = {}
        self._making = threading.Lock()

    @cached_property
    def data(self) -> Path:
        """A data folder of several shards."""
        folder = self.folder / "data"
        write_pydocs(folder, max_shard_bytes=60_000)
        return folder

    def pick(self, full: int, quick: int) -> int:
        """Return how many injections to make."""
        return quick if self.quick else full

    def new_file(self) -> Path:
        """Return a path that is not there yet, for what an injection notes down."""
        return self.folder / f"note{next(self._names)}"

    def new_run(self) -> Path:
        """Return the folder of a run that is not there yet."""
        return self.folder / "runs" / f"run{next(self._names)}"

    def arguments(self, recipe: Recipe, run_dir: Path) -> list[str]:
        """Return what is typed behind launch/train.py."""
        every = [f"checkpoint.every_steps={recipe.every_steps}", "checkpoint.keep_last=2"]
        length = [f"trainer.max_steps={recipe.max_steps}", "logger.loggers.console.every_steps=1"]
        place = [f"data.path={self.data}", f"runs_dir={run_dir.parent}", f"run_name={run_dir.name}"]
        return [*TINY, *DROPOUT, *every, *length, *place, *recipe.more]

    def start(self, recipe: Recipe, run_dir: Path, *more: str, before: str = "") -> Line:
        """Type the line of a recipe; with `before`, each process runs this Python first."""
        arguments = [*self.arguments(recipe, run_dir), *more]
        return self.lines.start(TRAIN, arguments, self.folder, one_thread(), ranks=recipe.ranks, before=before)

    def type(self, recipe: Recipe, run_dir: Path, *more: str, before: str = "") -> Ended:
        """Type the line of a recipe and wait for its end."""
        return self.wait(self.start(recipe, run_dir, *more, before=before))

    def wait(self, line: Line, patience_s: float = MONITOR_S) -> Ended:
        """Wait for a line, and do as torchrun does: where a rank fails, the others are asked to end, then killed.

        Args:
            patience_s: from a rank's failure until the others are asked.
        """
        first_s, give_up_s, asked_s, is_asked = None, time.monotonic() + WAIT_S, None, False
        while any(rank.exitcode is None for rank in line.ranks):
            time.sleep(0.01)
            now_s = time.monotonic()
            first_s = first_s or (now_s if STEP.search(line.output.read_text()) else None)
            if asked_s is None and any(rank.exitcode not in (None, 0) for rank in line.ranks):
                asked_s = now_s + patience_s
            if asked_s is not None and not is_asked and now_s > asked_s:
                is_asked = True
                _ask(line, signal.SIGTERM)
            if now_s > give_up_s or (asked_s is not None and now_s > asked_s + GRACE_S):
                _ask(line, signal.SIGKILL)
        codes = [rank.exitcode or 0 for rank in line.ranks]
        return Ended(max(codes, key=abs), line.output.read_text(), first_s or time.monotonic())

    def reference(self, recipe: Recipe) -> Reference:
        """Return the uninterrupted run of a recipe, made once."""
        with self._making:
            return self._made(recipe)

    def _made(self, recipe: Recipe) -> Reference:
        if recipe not in self._references:
            run_dir, started_s = self.new_run(), time.monotonic()
            ended = self.type(recipe, run_dir, "checkpoint.keep_last=3")
            seconds = time.monotonic() - started_s
            assert ended.code == 0, f"the run without a fault failed: {ended.text}"
            state = state_of(checkpoint_of(run_dir, recipe.max_steps))
            self._references[recipe] = Reference(run_dir, state, lines_of(run_dir), seconds)
        return self._references[recipe]

    def killed_run(self, recipe: Recipe, run_dir: Path | None = None) -> Path:
        """Return a run that was killed before its last save: it has the two checkpoints before that one."""
        run_dir = run_dir or self.new_run()
        shutil.copytree(self.reference(recipe).run_dir, run_dir)
        shutil.rmtree(checkpoint_of(run_dir, recipe.max_steps))
        (run_dir / "status.json").unlink()
        return run_dir

    def judge(self, recipe: Recipe, run_dir: Path) -> tuple[bool, bool, str]:
        """Hold a run that says it has finished against the reference.

        Returns:
            Whether it is the same; whether its state is another, silently; what differs.
        """
        reference, status = self.reference(recipe), self.status(run_dir)
        if status.get("status") != "finished":
            return False, False, f"did not finish: {status}"
        if state_of(checkpoint_of(run_dir, recipe.max_steps)) != reference.state:
            return False, True, "the last checkpoint is not the uninterrupted run's"
        if lines_of(run_dir) != reference.lines:
            return False, False, "metrics.jsonl is not the uninterrupted run's"
        return True, False, ""

    def recover(self, recipe: Recipe, run_dir: Path, since_s: float, detected: bool | None) -> Outcome:
        """Type the same line again, with nothing done by hand, and judge what it makes of the run."""
        ended = self.type(recipe, run_dir)
        seconds = ended.first_step_s - since_s
        if ended.code:
            return Outcome(detected, False, False, seconds, f"exit code {ended.code}: {tail(ended.text)}")
        same, silent, note = self.judge(recipe, run_dir)
        return Outcome(detected, same, silent, seconds, note)

    def status(self, run_dir: Path) -> dict[str, Any]:
        """Return what status.json says; empty without one."""
        path = run_dir / "status.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def clean(self, *folders: Path) -> None:
        """Remove folders that nobody needs any more."""
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def lost_peer_told(bench: Bench, run_dir: Path, text: str, other_code: int | None) -> bool | None:
    """Return whether it is said that a peer was lost; None where the other rank had no occasion to.

    It had none where it had ended well, and where the launcher's SIGTERM ended it before it trained.

    Args:
        text: what the ranks printed. other_code: exit code of the rank that was left.
    """
    if other_code in (0, -signal.SIGTERM):
        return None
    return LOST.search(f"{text}\n{bench.status(run_dir).get('reason', '')}") is not None


def start_forking(library: Path | None) -> None:
    """Start the process that all lines are forked from, and have it load `library`."""
    if library is not None:
        os.environ["LD_PRELOAD"] = str(library)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("LD_PRELOAD", None)


@cache
def words(*texts: str) -> re.Pattern[str]:
    """Return a pattern that finds any of these texts."""
    return re.compile("|".join(map(re.escape, texts)))


def tail(text: str, lines: int = 3) -> str:
    """Return the last lines of an output, in one."""
    return " | ".join(line for line in text.strip().splitlines()[-lines:])[-600:]


def _ask(line: Line, number: int) -> None:
    for rank in line.ranks:
        if rank.exitcode is None and rank.pid is not None:
            os.kill(rank.pid, number)
