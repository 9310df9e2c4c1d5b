"""How fast the run would go: a few steps with the optimizer, time to the end; what a step at the peak does."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from foundation.progress import human
from foundation.text import number_of
from pretrain.debug.kept import drop_gradients
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning
from pretrain.metrics.flops import peak_flops
from pretrain.metrics.timing import step_time
from pretrain.run import Run
from pretrain.train import clip_scale, forward_backward
from pretrain.types import Batch

MEASURED_STEPS = 5
# of measuring; past it, steps that take long are measured less often, or by a part of their micro batches
MOST_S = 20.0
LARGE_CHANGE, REWRITE = 0.2, 1.0  # of a weight matrix's norm, in one step at the peak of the rate
LONG_S = 30 * 24 * 3600.0  # a forecast beyond it is a slip as a rule


class Throughput(Rung):
    """Tokens a second, measured after passes that warm up; nothing is logged, saved or evaluated in it.

    The first pass compiles, and chooses kernels; the first update makes what the optimizer needs. Neither is measured.
    """

    name = "throughput"
    updates = True
    meets = True

    def check(self, subject: Subject) -> Finding:
        run, batches = subject.run, subject.batches
        with subject.as_trained():
            warm_up(run, batches[:1])
            first_s, change = first_step(run, batches[:1])
            taken, count = run.mesh.broadcast_json(affordable(first_s, len(batches)))
            times_s = [timed(run, batches[:taken], len(batches)) for _ in range(count)]
        # of a step that takes long the first update is the measure, too
        step_s = statistics.median(times_s or [first_s * len(batches)])
        left = max(run.plan.max_steps - run.progress.step, 0)
        tokens_per_s = run.plan.tokens_per_step / step_s
        figure = (
            f"{human(tokens_per_s)} tokens/s, {step_time(step_s)} a step{mfu(run, tokens_per_s)}; "
            f"{in_words(left * step_s)} for {left:,} steps, evaluations and saves not counted"
        )
        part = "" if taken == len(batches) else f", from {taken} of {len(batches)} micro batches"
        measured = f"measured in {number_of(max(count, 1), 'step')} after a warm-up{part}"
        details = [f"{measured}; one step at the peak rate changes the weights by {change:.2%} of their norm"]
        return self.found(figure, judged(change, left * step_s), details)


def affordable(first_s: float, num_batches: int) -> tuple[int, int]:
    """Return how many micro batches a measured step has, and how many are measured; 0: there is no time for one.

    Args:
        first_s: seconds of a warm step of one micro batch. num_batches: micro batches of a step.
    """
    taken = max(1, min(num_batches, int(MOST_S / 2 / max(first_s, 1e-9))))
    return taken, min(MEASURED_STEPS, int(MOST_S / max(taken * first_s, 1e-9)))


def warm_up(run: Run, batches: list[Batch]) -> None:
    """Take a forward and backward pass, which compiles what training would compile."""
    forward_backward(run, batches)
    drop_gradients(run)


def mfu(run: Run, tokens_per_s: float) -> str:
    """Return the model FLOPs utilisation in words; empty where the device's peak is not known."""
    peak = peak_flops(run.mesh.device)
    if peak is None:
        return ""
    used = tokens_per_s * run.model.flops_per_token(run.plan.seq_len) / (peak * run.mesh.world_size)
    return f", MFU {used:.1%}"


def first_step(run: Run, batches: list[Batch]) -> tuple[float, float]:
    """Take a step at the peak of the rate; return its seconds, and the largest relative change of the weight matrices.

    The change of the whole is that of its norm: sqrt(sum |dW|^2 / sum |W|^2) over parameters of two dims and more. What
    they were is kept in host memory, and comes back to the device a matrix at a time.
    """
    before = [each.detach().to("cpu", copy=True) for each in matrices(run.model)]
    seconds = timed(run, batches, len(batches))
    with torch.no_grad():
        pairs = zip(matrices(run.model), before, strict=True)
        changes = [torch.linalg.vector_norm((after - old.to(after.device)).float()) for after, old in pairs]
    return seconds, norm_of(changes) / max(norm_of([torch.linalg.vector_norm(old.float()) for old in before]), 1e-30)


def matrices(model: nn.Module) -> Iterator[Tensor]:
    """Yield the parameters that are trained and have two dims or more."""
    return (each for each in model.parameters() if each.requires_grad and each.dim() > 1)


def norm_of(norms: list[Tensor]) -> float:
    """Return the L2 norm of all numbers of the tensors with these norms; 0 without any."""
    return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0


def timed(run: Run, batches: list[Batch], whole: int) -> float:
    """Take a step at the peak of the rate; return what one of `whole` micro batches takes, in seconds."""
    synchronize(run.mesh.device)
    began_s = time.perf_counter()
    result = forward_backward(run, batches)
    assert result is not None  # no step is given up: a stop ends a look at once
    synchronize(run.mesh.device)
    computed_s = time.perf_counter()
    scale = clip_scale(result.grad_norm, run.max_grad_norm)
    run.optimizer.step(run.optimizer.lr, torch.zeros_like(result.judgement[0]), scale)
    drop_gradients(run)
    synchronize(run.mesh.device)
    return (computed_s - began_s) * whole / len(batches) + time.perf_counter() - computed_s


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def judged(change: float, seconds: float) -> list[Problem]:
    """Return what is odd about one step at the peak, and about the time to the end.

    Args:
        change: of the weight matrices in that step, relative to their norm. seconds: of the forecast.
    """
    problems = []
    if not change <= LARGE_CHANGE:
        told = (
            f"one step at the peak of the learning rate changes the weights by {change:.0%} of their norm: what was "
            "learnt before is overwritten; lower optim.lr"
        )
        problems.append(warning(told) if change <= REWRITE else stop(told))
    if seconds > LONG_S:
        problems.append(warning(f"the run would take {in_words(seconds)}: is its length what you mean? See trainer="))
    return problems


def in_words(seconds: float) -> str:
    """Return a time with the two units that matter: `35 s`, `12 min`, `3 h 20 min`, `12 days 3 h`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24:,} days {hours % 24} h"
