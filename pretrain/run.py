"""A run: all that the loop calls, and what it does between steps: evaluate, save, compare the ranks, go on."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import nn

from pretrain.checkpoint.state import random_states, restore_random_states
from pretrain.control import Control
from pretrain.data.loader import ShardLoader
from pretrain.heartbeat import Phase
from pretrain.mesh import Mesh
from pretrain.metrics.lines import CHECKPOINT, EVALUATION, OTHER
from pretrain.parallel.replicas import compare_replicas
from pretrain.plan import Plan, Preflight
from pretrain.run_log import RunLog
from pretrain.seats import (
    Checkpointer,
    Debug,
    Evaluator,
    Guard,
    Model,
    Numerics,
    Optimizer,
    Parallel,
    Profiler,
    Schedule,
    Watch,
)
from pretrain.signals import StopSignal
from pretrain.tokenizer import Tokenizer
from pretrain.types import Batch, SavedAt, StepResult, TrainState


@dataclass(slots=True)
class Progress:
    """Where the run is; what a checkpoint keeps besides tensors.

    Attributes:
        step: loop iterations done; data_step: global batches taken; num_updates: steps the guard let through;
        tokens_seen: target tokens of all steps done.
    """

    step: int = 0
    data_step: int = 0
    num_updates: int = 0
    tokens_seen: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """Everything the loop calls. `wrapped` is what DDP made of `model`; `gate` is what resuming compares."""

    run_dir: Path
    tokenizer: Tokenizer
    plan: Plan
    mesh: Mesh
    model: Model
    wrapped: nn.Module
    parallel: Parallel
    numerics: Numerics
    optimizer: Optimizer
    schedule: Schedule
    guard: Guard
    loader: ShardLoader
    checkpointer: Checkpointer
    evaluator: Evaluator
    profiler: Profiler
    watch: Watch
    debug: Debug
    log: RunLog
    signal: StopSignal
    control: Control
    progress: Progress
    max_grad_norm: float | None
    check_replicas_every_steps: int | None  # besides before each save
    compiled: str  # or why it is not
    preflight: Preflight  # of a run that begins anew
    pieces: frozenset[str]  # that are written twice
    plain_pieces: frozenset[str]  # those of them that run plainly
    gate: dict[str, Any]


def trained_names(model: nn.Module) -> list[str]:
    """Return the names of the parameters that are trained."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def learning_rate(run: Run) -> float:
    """Return that of the step to come."""
    step = run.progress.step
    cut = run.guard.lr_factor(step) * run.control.lr_factor(step)
    return run.optimizer.lr * run.schedule.factor(step) * cut


def way_back(run: Run) -> SavedAt | None:
    """Return the checkpoint that the guard wants the run to go back to; None where there is none."""
    run.mesh.heartbeat.at(Phase.STARTING)
    with run.log.pause():
        return run.checkpointer.way_back(run.guard.way_back(), state_of(run))


def go_back(run: Run, saved: SavedAt) -> None:
    """Restore a checkpoint; all steps that were done have been logged."""
    now = run.progress
    with run.log.pause():
        run.log.flush()
        show_watched(run, drain=True)  # what is still on its way belongs to the steps that are left
        told = run.guard.leave(saved)
        if run.mesh.is_main:
            print(told, file=sys.stderr, flush=True)
        run.checkpointer.drop_later(saved.step)
        restore(run, saved.path)
        run.guard.arrive()
        now.data_step = run.guard.batch_from(now.data_step)
    run.log.begin_step()


class _GivenUp(Exception):
    """An evaluation has met a stop."""


def evaluate(run: Run) -> bool:
    """Join the evaluation's fields to the step's line; the clock stands still meanwhile.

    It may take minutes, of which torchrun leaves a stopped run half a one: a stop gives it up. What it draws from the
    global generators it draws beside the run: a checkpoint of this step was saved before it, and a run that goes on
    from there doesn't repeat an evaluation whose line is written.

    Returns:
        False when it was given up: the run that goes on repeats it; where nothing is saved, none does.
    """

    def between() -> None:
        run.mesh.heartbeat.at(Phase.EVALUATING)
        if run.mesh.any(run.signal.requested):
            raise _GivenUp

    random_before = random_states(run.mesh.device)
    try:
        with run.log.pause(EVALUATION), run.numerics.autocast(run.mesh.device):
            between()
            fields = run.evaluator.evaluate(run.progress.step, between)
    except _GivenUp:
        if run.checkpointer.saves:
            run.log.postpone()
        else:
            run.log.flush()
        return False
    finally:
        restore_random_states(random_before, run.mesh.device)
    run.log.join(fields)
    return True


def save(run: Run) -> None:
    """Save this moment's state; every record has been taken by now. The steps are held as long as the seat needs it.

    Raises:
        ReplicasDiffer: nothing is written then.
    """
    started_s = time.perf_counter()
    check_replicas(run)
    run.mesh.heartbeat.at(Phase.SAVING)
    with run.log.pause(CHECKPOINT if run.checkpointer.saves else OTHER):
        run.log.sync()
        run.checkpointer.save(run.progress.step, state_of(run))
    run.signal.saving_took(time.perf_counter() - started_s)


def compares_replicas(run: Run) -> bool:
    """Return whether the ranks are compared after this step; a save compares them itself."""
    every, step = run.check_replicas_every_steps, run.progress.step
    return run.mesh.world_size > 1 and every is not None and step % every == 0 and not run.checkpointer.due(step)


def check_replicas(run: Run) -> None:
    """Compare what all ranks must hold alike: weights, moments, counters, guard, lr and counts.

    Raises:
        ReplicasDiffer: on every rank; names ranks and tensors.
    """
    if run.mesh.world_size == 1:
        return
    now = run.progress
    with run.log.pause():
        state = state_of(run)
        facts = asdict(now) | {"guard": run.guard.facts(), "lr": learning_rate(run)}
        compare_replicas(run.parallel.replicated(state.tensors), facts, run.mesh, now.step, run.plain_pieces)


def look_after_saves(run: Run) -> None:
    """Raise the error of a save that goes on beside the steps; tell how long one took that has come to its end."""
    took_s = run.checkpointer.poll(run.progress.num_updates)
    if took_s is not None:
        run.signal.saving_took(took_s)


@contextlib.contextmanager
def update_looked_into(run: Run, batches: list[Batch], result: StepResult) -> Iterator[None]:
    """The context of one update, before and after which the step is looked into: time of its own.

    Args:
        batches: this rank's micro batches. result: what the step measured.
    """
    here, around = run.mesh.heartbeat.at, Phase.WATCHING if run.watch.looks else Phase.UPDATE
    here(around)
    with run.watch.looking(run.progress.step + 1, batches, result, run.numerics):
        here(Phase.UPDATE)
        yield
        here(around)
    here(Phase.UPDATE)  # what follows it in the step


def show_watched(run: Run, drain: bool = False) -> None:
    """Write and log what was looked at in steps that lie far enough back; with `drain` in all of them."""
    for name, line in run.watch.ready(run.progress.step, drain):
        run.log.show(name, line)


def state_of(run: Run) -> TrainState:
    """Return the live tensors and the facts of this moment."""
    tensors = {f"model.{name}": tensor for name, tensor in run.model.state_dict().items()}
    tensors |= {f"optim.{name}": tensor for name, tensor in run.optimizer.tensors().items()}
    tensors |= {f"guard.{name}": tensor for name, tensor in run.guard.tensors().items()}
    facts = asdict(run.progress) | {"guard": run.guard.facts(), "line": run.log.last, "gate": run.gate}
    return TrainState(tensors, facts)


def restore(run: Run, path: str | None = None) -> bool:
    """Fill the run from a checkpoint.

    Args:
        path: that one; else the newest healthy one.
    Returns:
        False when there is none.
    """
    state = state_of(run)
    if not run.checkpointer.load(state, path):
        return False
    for field in fields(run.progress):
        setattr(run.progress, field.name, int(state.facts[field.name]))
    run.guard.restore(state.facts["guard"])
    evaluates = run.evaluator.due(run.progress.step)
    run.watch.forget()
    missing = run.log.resume(run.progress.step, state.facts["line"], evaluates)
    if run.mesh.broadcast_json(missing) and evaluates:
        evaluate(run)
    return True
