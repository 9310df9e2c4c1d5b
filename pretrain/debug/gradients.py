"""Gradient flow: every parameter learns, those that are frozen stay, all ranks hold the same."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from foundation.text import number_of
from pretrain.debug.kept import drop_gradients
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning
from pretrain.parallel.errors import ReplicasDiffer
from pretrain.parallel.replicas import compare_replicas, digest
from pretrain.run import Run, state_of
from pretrain.train import forward_backward
from pretrain.types import IGNORE, Batch

WAKING_STEPS = 3  # of the optimizer, in which a gradient that is zero by design must come to life
MORE_BATCHES = 8  # micro batches in which a gradient is looked for that the first has not brought
REDUCED_BATCHES = 2  # micro batches of a step that shows the reduction: one that is added up, one that is reduced
NAMED = 6  # parameters in a list


class Gradients(Rung):
    """After one backward every trained parameter has a gradient that is finite and not zero.

    One that this sequence does not reach, of an expert or a branch, is looked for in further ones of the step. One
    behind a projection that begins at zero has no gradient at first, by design: it is looked at again after a few
    steps. A short look does neither, and warns.
    """

    name = "gradients"
    updates = True
    passes = 3.0

    def check(self, subject: Subject) -> Finding:
        model, batch = subject.run.model, subject.sample
        frozen = {name: each for name, each in model.named_parameters() if not each.requires_grad}
        if len(frozen) == sum(1 for _ in model.parameters()):
            return self.found("none", [stop("every parameter is frozen: nothing would be learnt; set requires_grad")])
        with called(model) as at_work:
            backward(subject, batch)
        norms, sequences = norms_by_name(model), len(batch.samples)
        if not subject.is_short:
            norms, sequences = over_more(subject, norms, sequences)
        missing = [name for name, norm in norms.items() if norm is None]
        idle = [name for name in missing if subject.is_short and owner_of(name) not in at_work]
        problems = list(judged(norms, idle, sequences))
        quiet = [name for name, norm in norms.items() if norm == 0]
        figure = f"{number_of(len(norms), 'parameter')} trained, {self._range(norms)}"
        stayed = False
        figure += f", over {number_of(sequences, 'sequence')}" if sequences > len(batch.samples) else ""
        if subject.is_short:
            problems += unclear(idle, quiet)
        elif not problems and (quiet or frozen):
            still, moved = after_steps(subject, quiet, frozen)
            woken = len(quiet) - len(still)
            figure += f"; {woken} more learn after {number_of(WAKING_STEPS, 'step')}, zero at first" if woken else ""
            problems += dead(still) + thawed(moved)
            stayed = not moved
        return self.found(figure, problems + held(frozen, stayed))

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


def over_more(subject: Subject, norms: dict[str, float | None], sequences: int) -> tuple[dict[str, float | None], int]:
    """Look for a gradient of the parameters that have none yet, in the micro batches that follow of the same step.

    Args:
        subject: its run holds the gradient that `norms` is of. norms: by name. sequences: that they are of.
    Returns:
        The norms of the sum of all gradients, and how many sequences they are of.
    """
    for batch in subject.batches[1 : 1 + MORE_BATCHES]:
        if all(norms.values()):
            break
        backward(subject, batch)
        norms, sequences = norms_by_name(subject.run.model), sequences + len(batch.samples)
    return norms, sequences


@contextlib.contextmanager
def called(model: nn.Module) -> Iterator[set[str]]:
    """Give a set that takes the names of the modules that are called inside this block."""
    names = set[str]()
    named = list(model.named_modules())
    handles = [module.register_forward_hook(lambda *_, name=name: names.add(name)) for name, module in named]
    try:
        yield names
    finally:
        for handle in handles:
            handle.remove()


def owner_of(parameter: str) -> str:
    """Return the name of the module that a parameter belongs to."""
    return parameter.rpartition(".")[0]


def norms_by_name(model: nn.Module) -> dict[str, float | None]:
    """Return the L2 norm of each trained parameter's gradient; None where it has none."""
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    norms = [
        torch.zeros(()) if p.grad is None else torch.linalg.vector_norm(p.grad.float()).cpu() for p in trained.values()
    ]
    found = zip(trained.items(), torch.stack(norms).tolist(), strict=True)
    return {name: None if parameter.grad is None else norm for (name, parameter), norm in found}


def judged(norms: dict[str, float | None], idle: list[str], sequences: int) -> Iterator[Problem]:
    """Yield what is wrong with the gradients of a backward, zeros left aside.

    Args:
        norms: by name. idle: those of modules that were not even called, which may be by design.
        sequences: that the norms are of.
    """
    if missing := [name for name, norm in norms.items() if norm is None and name not in set(idle)]:
        yield stop(
            f"no gradient reaches {listed(missing)} from {number_of(sequences, 'sequence')}: the loss doesn't hang on "
            "them, or the graph is cut on the way (detach, no_grad, .data); mend the model, or set "
            "requires_grad=False where it is meant"
        )
    if broken := [name for name, norm in norms.items() if norm is not None and not math.isfinite(norm)]:
        yield stop(f"a gradient that is not finite: {listed(broken)}; try precision=float32, and look at `shapes`")


def unclear(idle: list[str], quiet: list[str]) -> list[Problem]:
    """Return what a short look says of parameters that one sequence gives no gradient, which a longer one judges."""
    problems = []
    if idle:
        told = "not called for this sequence, of an expert or a branch perhaps"
        problems.append(warning(f"{told}: {listed(idle)}; launch/preflight.py looks at more sequences"))
    if quiet:
        told = "launch/preflight.py tells whether they wake after some steps or in other sequences"
        problems.append(warning(f"a gradient of zero: {listed(quiet)}; {told}"))
    return problems


def after_steps(subject: Subject, quiet: list[str], frozen: dict[str, nn.Parameter]) -> tuple[list[str], list[str]]:
    """Take a few steps of the optimizer at the peak rate, from one micro batch to the next.

    Args:
        subject: its run holds the gradient of a batch. quiet: parameters whose gradient is zero.
        frozen: parameters that no step may touch.
    Returns:
        Which of the quiet ones had a gradient of zero after every step, and which of the frozen ones were changed.
    """
    run, silent = subject.run, set(quiet)
    device, before = run.mesh.device, {name: digest(each) for name, each in frozen.items()}
    for number in range(WAKING_STEPS):
        run.optimizer.step(run.optimizer.lr, torch.zeros((), device=device), torch.ones((), device=device))
        drop_gradients(run)
        backward(subject, subject.batches[number % len(subject.batches)])
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


def held(frozen: dict[str, nn.Parameter], stayed: bool) -> list[Problem]:
    """Return what is said of frozen parameters: they may be meant, or forgotten.

    Args:
        stayed: whether steps were taken, and left every bit of them.
    """
    numbers = sum(each.numel() for each in frozen.values())
    told = f"frozen: {number_of(numbers, 'number')} in {number_of(len(frozen), 'parameter')}: {listed(list(frozen))}"
    told += f"; bitwise the same after {number_of(WAKING_STEPS, 'step')}" if stayed else ""
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
            with subject.as_trained():
                forward_backward(run, subject.batches[:REDUCED_BATCHES])
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
