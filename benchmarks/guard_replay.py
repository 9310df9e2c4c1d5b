"""Recorded runs, replayed through a rule with faults put into them at seeded places: what it answers and what it costs.

A replay has no feedback: what a rule lets through does not change the steps behind it. guard_live.py has runs with it.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from guard_peers import Clip, KillLossSpike, Makes, Rule, SkipStep, ZClip, clipped
from guard_traces import Trace

from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.seats import Action
from pretrain.stability.guard import SkipGuard
from pretrain.stability.rewinds import Rewinds
from pretrain.types import Record

SETTLED = 130  # steps: by then every rule but KillLossSpike in a long run has a full window
AFTER = 140  # clean steps behind a fault that are looked at
SAME_NORM = 2.0  # a fault's update is bounded where its norm is at most so many times what the step would have had
BURST, DRIFT = (3, 10), 200  # steps


@dataclass(frozen=True)
class Fault:
    """One kind. Attributes: sees: what it shows in, `loss`, `norm` or both; early: in the first 60 steps."""

    sees: tuple[str, ...]
    change: Callable[[float, float, float], tuple[float, float]]  # loss, norm, share of the fault that is past
    steps: tuple[int, int] = (1, 1)  # at least, at most
    early: bool = False


FAULTS = {
    "NaN loss": Fault(("loss", "norm"), lambda loss, norm, past: (math.nan, math.nan)),
    "NaN gradient": Fault(("norm",), lambda loss, norm, past: (loss, math.nan)),
    "NaN in warm-up": Fault(("loss", "norm"), lambda loss, norm, past: (math.nan, math.nan), early=True),
    "loss x 100": Fault(("loss",), lambda loss, norm, past: (100 * loss, norm)),
    "gradient x 10,000": Fault(("norm",), lambda loss, norm, past: (loss, 10_000 * norm)),
    "burst, gradient x 10,000": Fault(("norm",), lambda loss, norm, past: (loss, 10_000 * norm), BURST),
    "burst, loss + 3, gradient x 50": Fault(("loss", "norm"), lambda loss, norm, past: (loss + 3, 50 * norm), BURST),
    "drift to loss + 1": Fault(("loss",), lambda loss, norm, past: (loss + past, norm), (DRIFT, DRIFT)),
    "loss + 1": Fault(("loss",), lambda loss, norm, past: (loss + 1, norm)),
    "gradient x 10": Fault(("norm",), lambda loss, norm, past: (loss, 10 * norm)),
}


class Ours:
    """spike=rewind as a run has it. Attributes: stopped: whether the run has gone back or ended."""

    def __init__(self, num_steps: int, **settings: Any) -> None:
        # not rank 0: no journal is written
        mesh, device = Mesh(1, 2, 1, torch.device("cpu")), torch.device("cpu")
        plan = Plan(
            seq_len=64, global_batch_size=8, micro_batch_size=4, dp_size=2, max_steps=num_steps,
            samples_per_epoch=8 * num_steps, seed=0,
        )  # fmt: skip
        self.guard = SkipGuard(mesh, plan, device, Path("nowhere"), rewind=Rewinds(), **settings)
        self.stopped, self._step = False, 0

    def answer(self, loss: float, norm: float) -> float:
        self._step += 1
        bad, *evidence = self.guard.judge(torch.tensor(loss), torch.tensor(norm)).tolist()
        record = Record(self._step, self._step - 1, 1e-3, 0.0, loss, norm, bad > 0, 512, False, tuple(evidence))
        self.stopped |= self.guard.decide(record) is not Action.CONTINUE
        return 0.0 if bad else clipped(norm, 1.0)


@dataclass(frozen=True)
class Kind:
    """How a rule's answers count. Attributes: makes: it; sees: what it looks at; scales: it clips, never skips."""

    makes: Makes
    sees: tuple[str, ...]
    scales: bool = False


KINDS = {
    "groundwork, spike=rewind": Kind(Ours, ("loss", "norm")),
    "OLMo-core's SkipStepOptimizer": Kind(lambda steps: SkipStep(), ("loss", "norm")),
    "llm-foundry's KillLossSpike": Kind(KillLossSpike, ("loss",)),
    "ZClip": Kind(lambda steps: ZClip(), ("norm",), scales=True),
    "clipping to norm 1": Kind(lambda steps: Clip(), ("norm",), scales=True),
}


@dataclass
class Found:
    """What became of a rule. Attributes: recalls: kind of fault -> share of its steps answered, one a place."""

    clean_steps: int = 0
    touched: int = 0  # clean steps of runs without a fault that were skipped, or scaled
    stops: int = 0  # of runs without a fault that were ended or sent back
    recalls: dict[str, list[float]] = field(default_factory=dict)
    after: dict[str, list[int]] = field(default_factory=dict)  # clean steps skipped in the AFTER behind a fault


def replay(trace: Trace, kind: Kind, places: dict[str, list[int]], seed: int, found: Found) -> None:
    """Put a run through a rule, without a fault and with each in turn; add to what was found.

    Args:
        places: name of a fault -> steps that one begins at. seed: of the lengths of bursts.
    """
    num_steps = len(trace.losses)
    rule = kind.makes(num_steps)
    begun = {step: [name for name in places if step in places[name]] for each in places.values() for step in each}
    for step, (loss, norm) in enumerate(zip(trace.losses, trace.norms, strict=True)):
        for name in begun.get(step, []):
            length = random.Random(f"{seed} {name} {step}").randint(*FAULTS[name].steps)
            share, after = struck(copy.deepcopy(rule), kind, trace, step, name, length)
            found.recalls.setdefault(name, []).append(share)
            found.after.setdefault(name, []).append(after)
        found.touched += rule.answer(loss, norm) < 1 if kind.scales else rule.answer(loss, norm) == 0
        found.clean_steps += 1
        if rule.stopped:
            found.stops += 1
            rule.stopped = False


def struck(rule: Rule, kind: Kind, trace: Trace, step: int, name: str, length: int) -> tuple[float, int]:
    """Return the share of a fault's steps that were answered, and how many clean ones behind it were skipped."""
    fault, answered, after = FAULTS[name], 0, 0
    rule.stopped = False
    for place, (loss, norm) in enumerate(steps_from(trace, step, length + AFTER)):
        if place < length:
            bad_loss, bad_norm = fault.change(loss, norm, (place + 1) / length)
            factor = rule.answer(bad_loss, bad_norm)
            answered += factor * bad_norm <= SAME_NORM * norm if kind.scales else factor == 0
        else:
            if place == length and rule.stopped:  # it ended there, or went back
                break
            after += rule.answer(loss, norm) == 0
    if rule.stopped and (name.startswith("drift") or kind.sees == ("loss",)):
        answered = length
    return answered / length, after


def steps_from(trace: Trace, first: int, count: int) -> Iterator[tuple[float, float]]:
    """Yield loss and norm of the steps from `first` on."""
    yield from zip(trace.losses[first : first + count], trace.norms[first : first + count], strict=True)


def places_of(trace: Trace, count: int, seed: int) -> dict[str, list[int]]:
    """Return the steps that each kind of fault begins at, drawn without repeats."""
    draw = random.Random(f"{seed} {trace.name}")
    last = len(trace.losses) - AFTER - DRIFT
    settled = range(SETTLED, last)
    return {
        name: draw.sample(range(60) if fault.early else settled, min(count, 60 if fault.early else len(settled)))
        for name, fault in FAULTS.items()
    }
