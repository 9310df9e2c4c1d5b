"""How fast the run would go: a few steps with the optimizer, time to the end; what a step at the peak does."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from foundation.progress import human
from pretrain.debug.errors import GivenUp
from pretrain.debug.kept import drop_gradients
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning
from pretrain.metrics.flops import peak_flops
from pretrain.metrics.timing import step_time
from pretrain.run import Run
from pretrain.train import clip_scale, forward_backward
from pretrain.types import Batch

MEASURED_STEPS = 5
MOST_S = (
    20.0  # of measuring; past it, steps that take long are measured less often, or by a part of their micro batches
)
LARGE_CHANGE, REWRITE = 0.2, 1.0  # of a weight matrix's norm, in one step at the peak of the rate
LONG_S = 30 * 24 * 3600.0  # a forecast beyond it is a slip as a rule


class Throughput(Rung):
    """Tokens a second, measured after a step that warms up; nothing is logged, saved or evaluated in it."""

    name = "throughput"
    updates = True
    meets = True

    def check(self, subject: Subject) -> Finding:
        run, batches = subject.run, subject.batches
        first_s, change = first_step(run, batches)
        taken = max(1, min(len(batches), int(MOST_S / 2 * len(batches) / max(first_s, 1e-9))))
        taken = int(run.mesh.broadcast_json(taken))
        count = int(run.mesh.broadcast_json(max(1, min(MEASURED_STEPS, int(MOST_S / max(first_s, 1e-9))))))
        step_s = statistics.median(timed(run, batches[:taken], len(batches)) for _ in range(count))
        left = max(run.plan.max_steps - run.progress.step, 0)
        tokens_per_s = run.plan.tokens_per_step / step_s
        figure = (
            f"{human(tokens_per_s)} tokens/s, {step_time(step_s)} a step{mfu(run, tokens_per_s)}; "
            f"{in_words(left * step_s)} for {left:,} steps, evaluations and saves not counted"
        )
        measured = f"of {count} after one" if taken == len(batches) else f"from {taken} of {len(batches)} micro batches"
        details = [f"measured {measured}; one step at the peak rate changes the weights by {change:.2%} of their norm"]
        return self.found(figure, judged(change, left * step_s), details)


def mfu(run: Run, tokens_per_s: float) -> str:
    """Return the model FLOPs utilisation in words; empty where the device's peak is not known."""
    peak = peak_flops(run.mesh.device)
    if peak is None:
        return ""
    used = tokens_per_s * run.model.flops_per_token(run.plan.seq_len) / (peak * run.mesh.world_size)
    return f", MFU {used:.1%}"


def first_step(run: Run, batches: list[Batch]) -> tuple[float, float]:
    """Take a step at the peak of the rate; return its seconds, and the largest relative change of the weight matrices.

    The change of the whole is that of its norm: sqrt(sum |dW|^2 / sum |W|^2) over parameters of two dims and more.
    """
    before = [each.detach().clone() for each in matrices(run.model)]
    seconds = timed(run, batches, len(batches))
    with torch.no_grad():
        changed = norm_of([after - old for after, old in zip(matrices(run.model), before, strict=True)])
    return seconds, changed / max(norm_of(before), 1e-30)


def matrices(model: nn.Module) -> Iterator[Tensor]:
    """Yield the parameters that are trained and have two dims or more."""
    return (each for each in model.parameters() if each.requires_grad and each.dim() > 1)


def norm_of(tensors: list[Tensor]) -> float:
    """Return the L2 norm of all numbers of the tensors; 0 without any."""
    if not tensors:
        return 0.0
    return float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(each.float()) for each in tensors])))


def timed(run: Run, batches: list[Batch], whole: int) -> float:
    """Take a step at the peak of the rate; return what one of `whole` micro batches takes, in seconds.

    Raises:
        GivenUp: a stop was asked for meanwhile.
    """
    synchronize(run.mesh.device)
    began_s = time.perf_counter()
    result = forward_backward(run, batches)
    if result is None:
        raise GivenUp
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
