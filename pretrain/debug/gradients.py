"""Gradient flow: every parameter learns, those that are frozen stay, all ranks hold the same."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from foundation.text import number_of
from pretrain.debug.errors import GivenUp
from pretrain.debug.kept import drop_gradients
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning
from pretrain.parallel.errors import ReplicasDiffer
from pretrain.parallel.replicas import compare_replicas, digest
from pretrain.run import Run, state_of
from pretrain.train import forward_backward
from pretrain.types import IGNORE, Batch

WAKING_STEPS = 3  # of the optimizer, in which a gradient that is zero by design must come to life
NAMED = 6  # parameters in a list


class Gradients(Rung):
    """After one backward every trained parameter has a gradient that is finite and not zero.

    One behind a projection that begins at zero has none at first, by design: it is looked at again after a few steps.
    """

    name = "gradients"
    updates = True
    passes = 3.0

    def check(self, subject: Subject) -> Finding:
        model, batch = subject.run.model, subject.sample
        frozen = {name: each for name, each in model.named_parameters() if not each.requires_grad}
        if len(frozen) == sum(1 for _ in model.parameters()):
            return self.found("none", [stop("every parameter is frozen: nothing would be learnt; set requires_grad")])
        backward(subject, batch)
        norms = norms_by_name(model)
        figure = f"{number_of(len(norms), 'parameter')} trained, {self._range(norms)}"
        problems = list(judged(norms))
        quiet = [name for name, norm in norms.items() if norm == 0]
        if not problems and subject.is_short and quiet:
            told = f"a gradient of zero: {listed(quiet)}; launch/preflight.py tells whether they wake after some steps"
            problems.append(warning(told))
        elif not problems and (quiet or frozen):
            still, moved = after_steps(subject, batch, quiet, frozen)
            woken = len(quiet) - len(still)
            figure += f"; {woken} more learn after {number_of(WAKING_STEPS, 'step')}, zero at first" if woken else ""
            problems += dead(still) + thawed(moved)
        return self.found(figure, problems + held(frozen))

    def _range(self, norms: dict[str, float | None]) -> str:
        there = {name: norm for name, norm in norms.items() if norm}
        if not there:
            return "no gradient"
        low, high = min(there, key=lambda name: there[name]), max(there, key=lambda name: there[name])
        return f"norms from {there[low]:.2g} ({low}) to {there[high]:.2g} ({high})"


def backward(subject: Subject, batch: Batch) -> None:
    """Leave the gradient of the batch's mean loss in the model, on this rank alone."""
    with subject.computing():
        total, _ = subject.run.model.loss_sum(batch.inputs_BT, batch.targets_BT, batch.keys_B)
    torch.autograd.backward(total / (batch.targets_BT != IGNORE).sum().clamp(min=1))


def norms_by_name(model: nn.Module) -> dict[str, float | None]:
    """Return the L2 norm of each trained parameter's gradient; None where it has none."""
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    norms = [
        torch.zeros(()) if p.grad is None else torch.linalg.vector_norm(p.grad.float()).cpu() for p in trained.values()
    ]
    found = zip(trained.items(), torch.stack(norms).tolist(), strict=True)
    return {name: None if parameter.grad is None else norm for (name, parameter), norm in found}


def judged(norms: dict[str, float | None]) -> Iterator[Problem]:
    """Yield what is wrong with the gradients of one backward, zeros left aside."""
    if missing := [name for name, norm in norms.items() if norm is None]:
        yield stop(
            f"no gradient reaches {listed(missing)}: the loss doesn't hang on them, or the graph is cut on the way "
            "(detach, no_grad, .data); mend the model, or set requires_grad=False where it is meant"
        )
    if broken := [name for name, norm in norms.items() if norm is not None and not math.isfinite(norm)]:
        yield stop(f"a gradient that is not finite: {listed(broken)}; try precision=float32, and look at `shapes`")


def after_steps(
    subject: Subject, batch: Batch, quiet: list[str], frozen: dict[str, nn.Parameter]
) -> tuple[list[str], list[str]]:
    """Take a few steps of the optimizer at the peak rate.

    Args:
        subject: its run holds the gradient of `batch`. quiet: parameters whose gradient is zero.
        frozen: parameters that no step may touch.
    Returns:
        Which of the quiet ones had a gradient of zero after every step, and which of the frozen ones were changed.
    """
    run, silent = subject.run, set(quiet)
    device, before = run.mesh.device, {name: digest(each) for name, each in frozen.items()}
    for _ in range(WAKING_STEPS):
        run.optimizer.step(run.optimizer.lr, torch.zeros((), device=device), torch.ones((), device=device))
        drop_gradients(run)
        backward(subject, batch)
        silent -= {name for name, norm in norms_by_name(run.model).items() if norm}
    moved = [name for name, each in frozen.items() if not torch.equal(before[name], digest(each))]
    return [name for name in quiet if name in silent], moved


def dead(names: list[str]) -> list[Problem]:
    """Return what is said of parameters that do not learn."""
    told = f"a gradient of zero, also after {WAKING_STEPS} steps: {listed(names)}: a dead layer; mend the model"
    return [stop(told)] if names else []


def thawed(names: list[str]) -> list[Problem]:
    """Return what is said of frozen parameters that steps have changed."""
    return [stop(f"frozen, and changed by the optimizer all the same: {listed(names)}; mend optim=")] if names else []


def held(frozen: dict[str, nn.Parameter]) -> list[Problem]:
    """Return what is said of frozen parameters: they may be meant, or forgotten."""
    numbers = sum(each.numel() for each in frozen.values())
    told = f"frozen: {number_of(numbers, 'number')} in {number_of(len(frozen), 'parameter')}: {listed(list(frozen))}"
    return [warning(told)] if frozen else []


def listed(names: list[str]) -> str:
    """Return names, the first few of them."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


class Ranks(Rung):
    """All ranks begin with the same weights, and hold the same gradient after the reduction."""

    name = "ranks"
    meets = True

    def check(self, subject: Subject) -> Finding:
        run = subject.run
        step, world_size = run.progress.step, run.mesh.world_size
        if world_size == 1:
            return self.found("one: there is none to differ from")
        try:
            compare_replicas(run.parallel.replicated(state_of(run).tensors), {}, run.mesh, step, run.plain_pieces)
            if forward_backward(run, subject.batches) is None:
                raise GivenUp
            gradients = gradients_of(run)
            compare_replicas(run.parallel.replicated(gradients), {}, run.mesh, step, run.plain_pieces)
        except ReplicasDiffer as error:
            told = "parallel= doesn't reduce the gradients, or a device computes wrong"
            return self.found(f"{world_size}, which differ", [stop(f"{error}; here before the first step: {told}")])
        return self.found(f"{world_size} hold the same weights, and the same {len(gradients)} gradients")


def gradients_of(run: Run) -> dict[str, Tensor]:
    """Return the gradients by the names of their parameters."""
    named = run.model.named_parameters()
    return {f"gradient of {name}": each.grad for name, each in named if each.grad is not None}
