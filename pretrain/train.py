"""The loop, read from top to bottom, and one step's forward and backward."""

from __future__ import annotations

import contextlib
from functools import partial

import torch
from torch import Tensor, nn

from pretrain.checkpoint.state import random_states, restore_random_states
from pretrain.control import EVALUATE, LR, SAVE, STOP
from pretrain.heartbeat import Phase
from pretrain.inside import keep_blackbox
from pretrain.late import LateRecords
from pretrain.mesh import Mesh
from pretrain.metrics.lines import CHECKPOINT
from pretrain.metrics.measures import largest_gradient, signed_hash, sum_by_source, targets_by_source
from pretrain.pieces import choose
from pretrain.run import (
    Run,
    check_replicas,
    compares_replicas,
    evaluate,
    go_back,
    learning_rate,
    look_after_saves,
    save,
    show_watched,
    update_looked_into,
    way_back,
)
from pretrain.seats import Action
from pretrain.types import ASKED, Batch, Measured, Record, Status, StepResult


def train(run: Run) -> Status:
    """Train from `run.progress` to the end of the plan.

    Returns:
        Status.FINISHED, PREEMPTED after a signal, STOPPED by the guard; a checkpointer that saves has the last state.
    """
    late = LateRecords(run.mesh.device, run.log.clock, run.mesh.heartbeat)
    try:
        return take_steps(run, late)
    except BaseException:
        with contextlib.suppress(Exception):  # the error that ends the run is the one to tell
            count_landed(run, late)
        raise


def take_steps(run: Run, late: LateRecords) -> Status:
    """Take the steps of the plan that are left; `late` holds those that the host has not learnt of."""
    now, status = run.progress, Status.PREEMPTED if run.log.postponed else None
    here = run.mesh.heartbeat.at
    run.control.begin(run.mesh)
    if run.guard.begin():
        go_back_or_stay(run)
    now.data_step = run.guard.batch_from(now.data_step)
    run.wrapped.train()
    while status is None and now.step < run.plan.max_steps:
        here(Phase.LOADING, now.step)
        batches = run.loader.micro_batches(now.data_step)
        lr = learning_rate(run)
        result = forward_backward(run, batches)
        if result is None:
            status = Status.PREEMPTED
            break
        with update_looked_into(run, batches, result):
            run.optimizer.step(lr, result.judgement[0], clip_scale(result.grad_norm, run.max_grad_norm))
        run.optimizer.zero_grad()
        late.push(now.step + 1, now.data_step, lr, result)
        now.step, now.data_step = now.step + 1, run.guard.batch_from(now.data_step + 1)
        run.profiler.step(now.step)
        asked = run.control.agreed()
        saves, evaluates = run.checkpointer.due(now.step), run.evaluator.due(now.step)
        saves, evaluates = saves or SAVE in asked, evaluates or EVALUATE in asked
        compares = compares_replicas(run)
        here(Phase.DEVICE, now.step)
        status, went_back = take_ready(run, late, drain=saves or evaluates or compares)
        if went_back:
            run.control.agree(*asked)
            continue
        here(Phase.WATCHING if run.watch.looks else Phase.DEVICE)
        show_watched(run, drain=saves)
        here(Phase.DEVICE)
        if compares:
            check_replicas(run)
        look_after_saves(run)
        if saves:
            save(run)
        if evaluates and not evaluate(run):
            status = graver(status, Status.PREEMPTED)
    status = graver(status, take_ready(run, late, drain=True)[0])
    show_watched(run, drain=True)
    if not run.checkpointer.due(now.step):
        save(run)
    with run.log.pause(CHECKPOINT):
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
    mesh.heartbeat.at(Phase.COUNTING)
    random_before = random_states(mesh.device) if may_give_up(mesh) else None
    targets_S, stop, batch_hash = counts_of(run, batches)
    num_targets = targets_S.sum()
    weight = mesh.dp_size / num_targets.clamp(min=1)  # DDP averages over ranks, this makes it a sum
    loss_sum = torch.zeros_like(weight)
    losses_AB: list[Tensor] = []
    for number, batch in enumerate(batches, start=1):
        if random_before is not None and mesh.any(run.signal.requested):
            run.optimizer.zero_grad()
            restore_random_states(random_before, mesh.device)
            return None
        if mesh.device.type == "cpu":  # elsewhere the host runs ahead of the device
            run.log.say_progress(run.progress.step, number - 1, len(batches))
        mesh.heartbeat.at(Phase.FORWARD, micro_batch=number)
        place = partial(place_of, run, batch, number)
        with run.parallel.accumulate(run.wrapped, last=number == len(batches)), run.debug.watching(place):
            with run.numerics.autocast(mesh.device):
                micro_sum, losses_B = run.wrapped(batch.inputs_BT, batch.targets_BT, batch.keys_B)
            mesh.heartbeat.at(Phase.EXCHANGE if number == len(batches) else Phase.BACKWARD, micro_batch=number)
            (micro_sum * weight).backward()
        loss_sum += micro_sum.detach()
        losses_AB.append(losses_B)
    losses = torch.stack(losses_AB)
    loss_sum, nats_S = nats_of(run, loss_sum, losses, batches)
    loss = loss_sum / num_targets.clamp(min=1)
    grad_norms_P = choose("grad_norm", run.plain_pieces, norms_of_gradients, norms_plainly)(run.model)
    grad_norm = norm_of_gradients(grad_norms_P)
    judgement = run.guard.judge(loss, grad_norm)
    measured = Measured(batch_hash, *largest_gradient(run.model), nats_S, targets_S)
    return StepResult(loss, grad_norm, judgement, num_targets, stop, losses, grad_norms_P, measured)


def place_of(run: Run, batch: Batch, number: int) -> str:
    """Return in words which micro batch of which step this is; `number` counts from 1."""
    now, samples = run.progress, batch.samples
    return (
        f"step {now.step + 1}, batch {now.data_step}, micro batch {number} of rank {run.mesh.rank}: "
        f"samples {samples.min()} to {samples.max()}"
    )


def counts_of(run: Run, batches: list[Batch]) -> tuple[Tensor, Tensor, Tensor]:
    """Return int64 over all ranks, in one reduction: targets by source, ranks asked to stop, hash of the batch."""
    num_sources = len(run.loader.samples.sources)
    targets_S = targets_by_source(batches, num_sources)
    asked = run.signal.requested + ASKED * run.control.is_asked()
    stop, batch_hash = (targets_S.new_full((1,), value) for value in (asked, signed_hash(batches)))
    counts = run.mesh.sum(torch.cat([targets_S, stop, batch_hash]))
    return counts[:num_sources], counts[num_sources], counts[num_sources + 1]


def nats_of(run: Run, loss_sum: Tensor, losses_AB: Tensor, batches: list[Batch]) -> tuple[Tensor, Tensor]:
    """Return over all ranks, in one reduction, () float32 the sum of nats, and (sources,) that of each source."""
    nats_S, num_sources = loss_sum.unsqueeze(0), len(run.loader.samples.sources)
    if num_sources > 1:
        nats_S = torch.cat([nats_S, sum_by_source(losses_AB.flatten(), batches, num_sources)])
    nats_S = run.mesh.sum(nats_S)
    return nats_S[0], nats_S[-num_sources:]


def may_give_up(mesh: Mesh) -> bool:
    """Return whether a step is given up amid its micro batches for a stop: torchrun kills 30 s after its signal.

    Asking the other ranks' hosts costs nothing on a CPU. Several GPUs it would stall: there the step's own reduction
    carries the request, and steps are short.
    """
    return mesh.world_size == 1 or mesh.device.type == "cpu"


def clip_scale(grad_norm: Tensor, max_grad_norm: float | None) -> Tensor:
    """Return () float32, what the gradients are divided by so that their norm is at most the given one."""
    return torch.ones_like(grad_norm) if max_grad_norm is None else torch.clamp(grad_norm / max_grad_norm, min=1.0)


def norms_of_gradients(model: nn.Module) -> Tensor:
    """Return (P,) float32, the L2 norm of each gradient, in the order of `trained_names`; 0 where there is none."""
    nothing = torch.zeros((), device=next(model.parameters()).device)
    trained = (parameter for parameter in model.parameters() if parameter.requires_grad)
    gradients = [nothing if parameter.grad is None else parameter.grad for parameter in trained]
    return torch.stack(torch._foreach_norm(gradients)).float()


def norms_plainly(model: nn.Module) -> Tensor:
    """Return what `norms_of_gradients` returns, by the formula, gradient by gradient."""
    nothing = torch.zeros((), device=next(model.parameters()).device)
    gradients = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
    return torch.stack([nothing if each is None else (each.float() * each.float()).sum().sqrt() for each in gradients])


def norm_of_gradients(norms_P: Tensor) -> Tensor:
    """Return () float32, the L2 norm over all gradients."""
    norm: Tensor = torch.linalg.vector_norm(norms_P)
    return norm


def take_ready(run: Run, late: LateRecords, drain: bool = False) -> tuple[Status | None, bool]:
    """Take the steps that the host has learnt of; return why to end, if one says so, and whether the run went back.

    The same on every rank. Steps that were under way when the run goes back are logged, and nothing else: they are done
    again, or never.
    """
    status: Status | None = None
    for record in late.ready(drain):
        count(run, record)
        status = graver(status, Status.PREEMPTED if record.stop else None)
        if record.asked and obey(run):
            status = graver(status, Status.PREEMPTED)
        action = run.guard.decide(record)
        if record.skipped or action is not Action.CONTINUE:
            with run.log.pause():
                run.mesh.heartbeat.at(Phase.DEVICE)
                keep_blackbox(run, record)
        if action is Action.REWIND:
            action = go_back_or_stay(run, late)
        if action is Action.REWIND:
            return status, True
        if action is Action.STOP:
            status = Status.STOPPED
    return status, False


def obey(run: Run) -> bool:
    """Take up on all ranks what the control file asks for; return whether that is a stop."""
    step = run.progress.step
    stops = False
    for request in run.mesh.broadcast_json(run.control.take(step) if run.mesh.is_main else None):
        if request["what"] == STOP:
            run.signal.ask("the control file")
            stops = True
        elif request["what"] == LR:
            run.control.cut_lr(step, request["factor"], request["num_steps"])
        else:
            run.control.agree(request["what"])
    return stops


def go_back_or_stay(run: Run, late: LateRecords | None = None) -> Action:
    """Go back as the guard has asked, REWIND, or where that can't be, what it says instead.

    Args:
        late: steps under way.
    """
    found = way_back(run)
    if found is None:
        return run.guard.stay()
    for record in late.ready(drain=True) if late is not None else ():
        count(run, record)
    go_back(run, found)
    return Action.REWIND


def count(run: Run, record: Record) -> None:
    """Count and log one step that the host has learnt of."""
    now = run.progress
    now.num_updates += not record.skipped
    now.tokens_seen += record.num_targets
    run.log.add(record, now.num_updates, now.tokens_seen)


def count_landed(run: Run, late: LateRecords) -> None:
    """Count and log what the host can learn of the last steps as a run fails: no rank and no device is waited for."""
    for record in late.landed():
        if record.step != run.log.last.get("step", 0) + 1:  # the line before it is what failed: leave no hole
            return
        count(run, record)
