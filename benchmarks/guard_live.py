"""Real runs with a fault in the gradient of one step: what each rule leaves of the weights, and of the loss later on.

Every rule trains the same model on the same batches with AdamW of the same settings; its answer is carried out in the
manner of its publication: ours by the trainer's own loop and optimizer, OLMo-core's by multiplying each change of
weights and moments with 0, the others by scaling the gradient.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from guard_peers import Rule, clipped
from guard_replay import KINDS
from guard_traces import gpt, make_run
from torch import Tensor

from pretrain.run import Run
from pretrain.train import clip_scale, forward_backward
from pretrain.types import StepResult

STEPS, STRUCK, EARLY = 130, 100, 20  # length; the batch that is struck, and the one of the fault in warm-up
OURS, SKIPS = list(KINDS)[:2]
BETAS, EPS, DECAY = (0.9, 0.95), 1e-8, 0.1
# what the first micro batch's activations are multiplied by, what the gradient is there, and the batch
LIVE_FAULTS = {
    "none": (1.0, 1.0, STRUCK),
    "NaN in warm-up": (math.nan, 1.0, EARLY),
    "NaN loss": (math.nan, 1.0, STRUCK),
    "NaN gradient": (1.0, math.nan, STRUCK),
    "activations x 100": (100.0, 1.0, STRUCK),
    "gradient x 10,000": (1.0, 1e4, STRUCK),
}


@dataclass(frozen=True)
class Lived:
    """What became of a run.

    Attributes:
        moved: how far the struck step moved the weights, in medians of the steps before it; NaN where they are spoilt.
        last_loss: mean of the last 20 steps.
        ended: whether the rule ended the run.
    """

    moved: float
    last_loss: float
    ended: bool


class Faulty:
    """Strikes one batch, in the first of its micro batches."""

    def __init__(self, run: Run, name: str) -> None:
        self._forward, self._backward, self._at = LIVE_FAULTS[name]
        self.batch, self._first = -1, False
        run.model.final_norm.register_forward_hook(self)  # type: ignore[union-attr, operator]

    def begin(self, batch: int) -> None:
        self.batch, self._first = batch, True

    def __call__(self, module: object, inputs: object, output: Tensor) -> Tensor | None:
        if not self._first or self.batch != self._at:
            return None
        self._first = False
        if self._backward != 1.0:
            output.register_hook(lambda gradient: gradient * self._backward)
        return output * self._forward


class Masked:
    """AdamW whose every change is multiplied with a step's factor, as OLMo-core's SkipStepAdamW does it."""

    def __init__(self, weights: list[Tensor]) -> None:
        self._weights = weights
        self._means, self._squares = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
        self._step = 0.0

    @torch.no_grad()
    def step(self, lr: float, factor: float) -> None:
        one, two = BETAS
        for weight, mean, square in zip(self._weights, self._means, self._squares, strict=True):
            assert weight.grad is not None
            weight.mul_(1 - factor * lr * DECAY)
            mean.lerp_(weight.grad, factor * (1 - one))
            square.mul_(1 - factor * (1 - two)).add_(factor * weight.grad * weight.grad, alpha=1 - two)
            corrected = mean / (1 - one ** (self._step + 1))
            update = corrected / ((square / (1 - two ** (self._step + 1))).sqrt() + EPS)
            weight.add_(-lr * update * factor)
        self._step += factor


def live(rule_name: str, fault: str, data: Path) -> Lived:
    """Train under a rule with a fault."""
    with tempfile.TemporaryDirectory() as folder:
        spike = "spike=skip" if rule_name == OURS else "spike=none"
        run = make_run(data, Path(folder), STEPS, [*gpt(1, 32, 2, 32, 4), "optim.lr=1e-3", "seed=7", spike])
        try:
            return _train(run, rule_name, fault)
        finally:
            run.loader.close()
            run.log.close("finished")


def _train(run: Run, rule_name: str, fault: str) -> Lived:
    faulty, rule = Faulty(run, fault), KINDS[rule_name].makes(STEPS)
    weights = [weight for weight in run.model.parameters() if weight.requires_grad]
    masked = Masked(weights) if rule_name == SKIPS else None
    adam = torch.optim.AdamW(weights, betas=BETAS, eps=EPS, weight_decay=DECAY)
    losses, moves, struck = [], [], LIVE_FAULTS[fault][2]
    run.wrapped.train()
    for step in range(STEPS):
        before = torch.cat([weight.detach().flatten() for weight in weights])
        faulty.begin(step)
        result = forward_backward(run, run.loader.micro_batches(step))
        assert result is not None
        lr = run.optimizer.lr * run.schedule.factor(step)
        if rule_name == OURS:
            scale = clip_scale(result.grad_norm, run.max_grad_norm)
            run.optimizer.step(lr, result.judgement[0], scale)
        else:
            _update(rule, result, weights, masked, adam, lr)
        run.model.zero_grad()
        after = torch.cat([weight.detach().flatten() for weight in weights])
        moves.append((after - before).norm().item())
        losses.append(result.loss.item())
        if rule.stopped:
            break
    usual = statistics.median(moves[struck - 15 : struck])
    return Lived(moves[struck] / usual, statistics.fmean(losses[-20:]), rule.stopped)


def _update(
    rule: Rule, result: StepResult, weights: list[Tensor], masked: Masked | None, adam: torch.optim.Optimizer, lr: float
) -> None:
    norm = result.grad_norm.item()
    factor = rule.answer(result.loss.item(), norm)
    # clipping to a norm of 1 as ours, but where the rule has scaled by itself
    scale = clipped(norm, 1.0) if factor == 1 or masked is not None else factor
    for weight in weights:
        assert weight.grad is not None
        weight.grad.mul_(scale)
    if masked is not None:
        masked.step(lr, factor)
        return
    for group in adam.param_groups:
        group["lr"] = lr
    adam.step()
