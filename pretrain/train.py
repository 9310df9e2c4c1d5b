"""The loop, read from top to bottom, and one step's forward and backward."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.checkpoint.state import random_states, restore_random_states
from pretrain.data.loader import ShardLoader
from pretrain.heartbeat import Phase
from pretrain.late import LateRecords
from pretrain.mesh import Mesh
from pretrain.parallel.replicas import compare_replicas
from pretrain.plan import Plan
from pretrain.run_log import RunLog
from pretrain.seats import (
    Action,
    Checkpointer,
    Evaluator,
    Guard,
    Model,
    Numerics,
    Optimizer,
    Parallel,
    Profiler,
    Schedule,
)
from pretrain.signals import StopSignal
from pretrain.types import IGNORE, Batch, Record, Status, StepResult, TrainState


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
    log: RunLog
    signal: StopSignal
    progress: Progress
    max_grad_norm: float | None
    check_replicas_every_steps: int | None  # besides before each save
    compiled: str  # or why it is not
    gate: dict[str, Any]


def train(run: Run) -> Status:
    """Train from `run.progress` to the end of the plan.

    Returns:
        Status.FINISHED, PREEMPTED after a signal, STOPPED by the guard; a checkpointer that saves has the last state.
    """
    now, status = run.progress, Status.PREEMPTED if run.log.postponed else None
    late = LateRecords(run.mesh.device, run.log.clock)
    here = run.mesh.heartbeat.at
    run.wrapped.train()
    while status is None and now.step < run.plan.max_steps:
        here(Phase.LOADING, now.step)
        batches = run.loader.micro_batches(now.data_step)
        lr = run.optimizer.lr * run.schedule.factor(now.step)
        result = forward_backward(run, batches)
        if result is None:
            status = Status.PREEMPTED
            break
        here(Phase.UPDATE)
        run.optimizer.step(lr, result.judgement[0], clip_scale(result.grad_norm, run.max_grad_norm))
        run.optimizer.zero_grad()
        now.step, now.data_step = now.step + 1, now.data_step + 1
        late.push(now.step, now.data_step - 1, lr, result)
        run.profiler.step(now.step)
        saves, evaluates = run.checkpointer.due(now.step), run.evaluator.due(now.step)
        compares = compares_replicas(run)
        here(Phase.DEVICE, now.step)
        for record in late.ready(drain=saves or evaluates or compares):
            status = graver(status, take(run, record))
        if compares:
            check_replicas(run)
        look_after_saves(run)
        if saves:
            save(run)
        if evaluates and not evaluate(run):
            status = graver(status, Status.PREEMPTED)
    for record in late.ready(drain=True):
        status = graver(status, take(run, record))
    if not run.checkpointer.due(now.step):
        save(run)
    run.checkpointer.wait()
    if status is Status.STOPPED:
        run.checkpointer.reject(now.num_updates, f"the guard ended the run at step {now.step}, no clean step followed")
    run.log.flush()
    return status or Status.FINISHED


def graver(one: Status | None, other: Status | None) -> Status | None:
    """Return why to end when two steps in flight give reasons: a stop that was asked for must not hide the guard's."""
    return Status.STOPPED if Status.STOPPED in (one, other) else one or other


def forward_backward(run: Run, batches: list[Batch]) -> StepResult | None:
    """Leave in `.grad` the gradient of the mean loss over all targets of the global batch; judge the step.

    The loss of each micro batch is weighted by its targets over those of the whole batch, on all ranks, so the gradient
    does not depend on how the batch is split.

    Args:
        run: what the loop calls. batches: this rank's micro batches.
    Returns:
        Values on the device, reduced over ranks: nothing here waits for it. None when the step was given up for a stop:
        then gradients and random states are as before it, and it is taken again when the run goes on.
    """
    mesh = run.mesh
    random_before = random_states(mesh.device) if may_give_up(mesh) else None
    targets = torch.stack([(batch.targets_BT != IGNORE).sum() for batch in batches]).sum()
    stop = torch.full_like(targets, run.signal.requested)
    num_targets, stop = mesh.sum(torch.stack([targets, stop]))
    weight = mesh.dp_size / num_targets.clamp(min=1)  # DDP averages over ranks, this makes it a sum
    loss_sum = torch.zeros_like(weight)
    for number, batch in enumerate(batches, start=1):
        if random_before is not None and mesh.any(run.signal.requested):
            run.optimizer.zero_grad()
            restore_random_states(random_before, mesh.device)
            return None
        if mesh.device.type == "cpu":  # elsewhere the host runs ahead of the device
            run.log.say_progress(run.progress.step, number - 1, len(batches))
        mesh.heartbeat.at(Phase.FORWARD, micro_batch=number)
        with run.parallel.accumulate(run.wrapped, last=number == len(batches)):
            with run.numerics.autocast(mesh.device):
                micro_sum = run.wrapped(batch.inputs_BT, batch.targets_BT, batch.keys_B)
            mesh.heartbeat.at(Phase.EXCHANGE if number == len(batches) else Phase.BACKWARD, micro_batch=number)
            (micro_sum * weight).backward()
        loss_sum += micro_sum.detach()
    loss = mesh.sum(loss_sum) / num_targets.clamp(min=1)
    grad_norm = norm_of_gradients(run.model)
    return StepResult(loss, grad_norm, run.guard.judge(loss, grad_norm), num_targets, stop)


def may_give_up(mesh: Mesh) -> bool:
    """Return whether a step is given up amid its micro batches for a stop: torchrun kills 30 s after its signal.

    Asking the other ranks' hosts costs nothing on a CPU. Several GPUs it would stall: there the step's own reduction
    carries the request, and steps are short.
    """
    return mesh.world_size == 1 or mesh.device.type == "cpu"


def clip_scale(grad_norm: Tensor, max_grad_norm: float | None) -> Tensor:
    """Return () float32, what the gradients are divided by so that their norm is at most the given one."""
    return torch.ones_like(grad_norm) if max_grad_norm is None else torch.clamp(grad_norm / max_grad_norm, min=1.0)


def norm_of_gradients(model: nn.Module) -> Tensor:
    """Return () float32, the L2 norm over all gradients."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return torch.nn.utils.get_total_norm(gradients, foreach=True).float()


def take(run: Run, record: Record) -> Status | None:
    """Count and log one step the host has learnt of; return why to end, if it says so. The same on every rank."""
    now = run.progress
    now.num_updates += not record.skipped
    now.tokens_seen += record.num_targets
    run.log.add(record, now.num_updates, now.tokens_seen)
    if run.guard.decide(record) is Action.STOP:
        return Status.STOPPED
    return Status.PREEMPTED if record.stop else None


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
        with run.log.pause(), run.numerics.autocast(run.mesh.device):
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
    with run.log.pause():
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
        facts = asdict(now) | {"guard": run.guard.facts(), "lr": run.optimizer.lr * run.schedule.factor(now.step)}
        compare_replicas(run.parallel.replicated(state.tensors), facts, run.mesh, now.step)


def look_after_saves(run: Run) -> None:
    """Raise the error of a save that goes on beside the steps; tell how long one took that has come to its end."""
    took_s = run.checkpointer.poll(run.progress.num_updates)
    if took_s is not None:
        run.signal.saving_took(took_s)


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
    missing = run.log.resume(run.progress.step, state.facts["line"], evaluates)
    if run.mesh.broadcast_json(missing) and evaluates:
        evaluate(run)
    return True
