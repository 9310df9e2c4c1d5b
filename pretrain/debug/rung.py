"""What a rung of the ladder is: one look at a run that is about to begin, told in a figure and a verdict."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from pretrain.debug.eager import eager
from pretrain.debug.pulse import Pulse, beating
from pretrain.parallel.compile import COMPILED
from pretrain.run import Run
from pretrain.tokenizer import Tokenizer
from pretrain.types import Batch


class Verdict(IntEnum):
    """What a rung says; the higher, the worse."""

    OK = 0
    WARNING = 1
    STOP = 2

    @property
    def word(self) -> str:
        """What is printed."""
        return "STOP" if self is Verdict.STOP else self.name.lower()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and what to do about it, in a sentence."""

    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rung found.

    Attributes:
        name: of the rung.
        figure: what was measured, on one line.
        verdict: whether the run may begin.
        details: lines below it: first what is wrong and what to do, then what helps to judge.
    """

    name: str
    figure: str
    verdict: Verdict = Verdict.OK
    details: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, for the other ranks."""
        return {"name": self.name, "figure": self.figure, "verdict": int(self.verdict), "details": list(self.details)}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Finding:
        """Take back what `to_json` gave."""
        return cls(record["name"], record["figure"], Verdict(record["verdict"]), tuple(record["details"]))


@dataclass(frozen=True)
class Subject:
    """What the rungs look at.

    Attributes:
        run: assembled, and filled from a checkpoint where it goes on from one; its steps have not begun.
        run_dir: where it would be written.
        is_short: whether this is the look before a training begins, of a sequence or two, which updates nothing.
        saved_line: the metrics line of the step that the weights were saved after; None where they are fresh.
        pulse: what is said amid a rung that takes long.
    """

    run: Run
    run_dir: Path
    is_short: bool = False
    saved_line: dict[str, Any] | None = None
    pulse: Pulse = field(default_factory=Pulse)

    @property
    def is_fresh(self) -> bool:
        """Whether the weights are the initial ones."""
        return self.saved_line is None

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The shards' own."""
        dataset = self.run.loader.dataset
        return Tokenizer.load(dataset.path, dataset.manifest)

    @cached_property
    def batches(self) -> list[Batch]:
        """This rank's micro batches of the first step to come."""
        return self.run.loader.micro_batches(self.run.progress.data_step)

    @property
    def sample(self) -> Batch:
        """The first micro batch; its first sequence alone where the look is short."""
        first, rows = self.batches[0], 1 if self.is_short else len(self.batches[0].samples)
        return Batch(first.inputs_BT[:rows], first.targets_BT[:rows], first.samples[:rows], first.keys_B[:rows])

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Compute inside this block as training does, but layer by layer: shapes of checks alone compile nothing."""
        with self._beating(), eager(self.run.model), self.run.numerics.autocast(self.run.mesh.device):
            yield

    def as_trained(self) -> AbstractContextManager[None]:
        """Return the context of whole steps: compiled where training is, and then without a hook, which would compile
        anew."""
        return contextlib.nullcontext() if self.run.compiled == COMPILED else self._beating()

    def _beating(self) -> AbstractContextManager[None]:
        return beating(self.run.model, self.run.mesh.device, self.pulse.beat)


class Rung(ABC):
    """One check. It leaves the run as it was: what it touches all the same, the ladder puts back.

    Attributes:
        name: at the beginning of its line.
        updates: whether it takes steps of the optimizer, which a short look never does.
        restores: whether it puts back by itself what it has changed: the ladder then holds no copy.
        is_of_all: whether what it looks at is the same for every rank, so that rank 0 looks for all.
        meets: whether it exchanges with the other ranks, which would wait for one that left it with an error.
        passes: forward passes of one sequence that a short look takes, a backward pass counted as two.
    """

    name: str
    updates: bool = False
    restores: bool = False
    is_of_all: bool = False
    meets: bool = False
    passes: float = 0.0

    @abstractmethod
    def check(self, subject: Subject) -> Finding:
        """Look at the run.

        Raises:
            GroundworkError: it can't be looked at, for a reason that the user can mend; the ladder takes it for a stop.
        """

    def found(self, figure: str, problems: Iterable[Problem] = (), details: Iterable[str] = ()) -> Finding:
        """Return what was found: the gravest problem gives the verdict, its text stands below the figure."""
        sorted_problems = sorted(problems, key=lambda problem: -problem.verdict)
        verdict = max((problem.verdict for problem in sorted_problems), default=Verdict.OK)
        return Finding(self.name, figure, verdict, (*(problem.text for problem in sorted_problems), *details))


def warning(text: str) -> Problem:
    """Return what is likely wrong; the run may begin."""
    return Problem(Verdict.WARNING, text)


def stop(text: str) -> Problem:
    """Return what is wrong for certain: the run must not begin."""
    return Problem(Verdict.STOP, text)
