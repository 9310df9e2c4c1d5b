"""Climbs the ladder: rung by rung, the same verdict on every rank, until one says stop."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch

from foundation.errors import GroundworkError
from pretrain.debug.deterministic import nondeterminism_named
from pretrain.debug.kept import drop_gradients, kept
from pretrain.debug.rung import Finding, Rung, Subject, Verdict
from pretrain.heartbeat import Phase
from pretrain.mesh import Mesh, PeerLost

MOST_S, MOST_FRAC, LEAST_S = 30.0, 0.01, 1.0  # of a short look; the share is of the run's forecast
TRACE_LINES = 3  # of an error that a rung has met by surprise, from its end

Say = Callable[[Finding], None]


@dataclass(slots=True)
class Climb:
    """What came of it.

    Attributes:
        findings: one for each rung that was tried, in order.
        not_tried: names of the rungs above one that said stop.
        left_out: names of those that a short look had no time for.
        seconds: that it took.
    """

    findings: list[Finding] = field(default_factory=list)
    not_tried: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        return max((finding.verdict for finding in self.findings), default=Verdict.OK)


def climb(subject: Subject, rungs: Sequence[Rung], say: Say) -> Climb:
    """Try the rungs in order, up to one that says stop; called on every rank, and all return the same.

    A short look ends in time: it costs at most MOST_S seconds and MOST_FRAC of the run's forecast, but LEAST_S where
    that is less; rungs that would take longer are left out.

    Args:
        subject: the run. It is afterwards as it was, to the bit.
        rungs: the ladder.
        say: told each finding as it is made.
    Raises:
        PeerLost: another rank has ended.
    """
    made, started_s, budget = Climb(), time.monotonic(), Budget(subject)
    for number, rung in enumerate(rungs):
        subject.run.mesh.heartbeat.at(Phase.STARTING)
        subject.pulse.begin(rung.name)
        if subject.is_short and not budget.allows(rung, time.monotonic() - started_s):
            made.left_out.append(rung.name)
            continue
        began_s = time.monotonic()
        with putting_back(rung, subject):
            finding = agreed(rung, subject)
        budget.learn(rung, time.monotonic() - began_s)
        made.findings.append(finding)
        say(finding)
        if finding.verdict is Verdict.STOP:
            made.not_tried = [later.name for later in rungs[number + 1 :]]
            break
    made.seconds = time.monotonic() - started_s
    return made


def putting_back(rung: Rung, subject: Subject) -> AbstractContextManager[None]:
    """Return the context after which the run is as it was before the rung."""
    if rung.restores:
        return contextlib.nullcontext()
    return kept(subject.run, copies=rung.updates and not subject.is_short)


class Budget:
    """How long a short look may take, learnt from the first rung that has the model compute.

    Args:
        subject: whose plan gives the length of the run.
    """

    def __init__(self, subject: Subject) -> None:
        self._mesh, plan = subject.run.mesh, subject.run.plan
        steps = max(plan.max_steps - subject.run.progress.step, 0)
        self._run_passes = 3 * steps * plan.global_batch_size // plan.dp_size  # forward one, backward two
        self._pass_s: float | None = None

    def learn(self, rung: Rung, took_s: float) -> None:
        """Take in how long a rung took."""
        if rung.passes and self._pass_s is None:
            self._pass_s = took_s / rung.passes

    def allows(self, rung: Rung, spent_s: float) -> bool:
        """Return whether there is time for a rung: the same on every rank, rank 0 decides."""
        if not rung.passes or self._pass_s is None:
            return True
        most_s = max(LEAST_S, min(MOST_S, MOST_FRAC * self._run_passes * self._pass_s))
        return bool(self._mesh.broadcast_json(spent_s + rung.passes * self._pass_s <= most_s))


def agreed(rung: Rung, subject: Subject) -> Finding:
    """Return on every rank the worst that a rank found, rank 0's where all found the same."""
    mesh = subject.run.mesh
    if rung.is_of_all:
        found = mesh.on_main(lambda: tried(rung, subject).to_json())
        return Finding.from_json(found)
    mine = tried(rung, subject)
    if mesh.world_size == 1:
        return mine
    worst = worst_rank(mine.verdict, mesh)
    finding = Finding.from_json(mesh.broadcast_json(mine.to_json(), worst))
    named = f"on rank {worst}: {finding.figure}" if worst else finding.figure
    return Finding(finding.name, named, finding.verdict, finding.details)


def worst_rank(verdict: Verdict, mesh: Mesh) -> int:
    """Return on every rank the lowest one with the worst verdict."""
    verdicts_R = torch.zeros(mesh.world_size, device=mesh.device)
    verdicts_R[mesh.rank] = float(verdict)
    return int(mesh.sum(verdicts_R).argmax())


def tried(rung: Rung, subject: Subject) -> Finding:
    """Return what a rung found; an error inside it is a finding, too, where no other rank waits for this one."""
    try:
        with nondeterminism_named(subject.run.model):
            return rung.check(subject)
    except PeerLost:
        raise
    except GroundworkError as error:
        if rung.meets and subject.run.mesh.world_size > 1:
            raise
        return Finding(rung.name, str(error), Verdict.STOP)
    except torch.OutOfMemoryError as error:
        drop_gradients(subject.run)
        torch.cuda.empty_cache()
        return no_memory(rung, subject, error)
    except Exception as error:
        if rung.meets and subject.run.mesh.world_size > 1:
            raise
        lines = [line for part in traceback.format_tb(error.__traceback__) for line in part.splitlines()]
        told = str(error).strip().splitlines() or [""]
        return Finding(
            rung.name, f"failed: {type(error).__name__}: {told[0]}", Verdict.STOP, (*told[1:], *lines[-TRACE_LINES:])
        )


def no_memory(rung: Rung, subject: Subject, error: torch.OutOfMemoryError) -> Finding:
    """Return what is said where the device's memory does not do: a warning where a check alone has asked for it."""
    plan = subject.run.plan
    if rung.meets and subject.run.mesh.world_size > 1:
        raise error
    halved = f"trainer.micro_batch_size={max(plan.micro_batch_size // 2, 1)} takes half of the activations"
    verdict = Verdict.WARNING if subject.is_short else Verdict.STOP
    return Finding(rung.name, "the device has too little memory for it", verdict, (halved,))
