"""The learning rate over the run: closed forms of the step, so that a resumed run has the same bits."""

from __future__ import annotations

import math

from pretrain.optim.errors import OptimError
from pretrain.plan import Plan
from pretrain.seats import Schedule

SHARES = {
    "warmup_frac": "it is a share of the run",
    "initial_lr_frac": "it is a share of optim.lr",
    "min_lr_frac": "it is a share of optim.lr",
}
DEFAULT_WARMUP_FRAC = 0.02  # of the run; llm.c warms its 124M run up over 700 of 19,560 steps, 3.6 %


class WarmupCosine(Schedule):
    """A straight line up to the peak, then half a cosine down.

    With W warm-up steps and S steps in all, the factor of step s (from 0) is

        initial + (1 - initial) (s + 1) / (W + 1)                      for s < W
        min + (1 - min) (1 + cos(pi (s - W) / (S - W))) / 2            from s = W, where it is 1

    so the line leaves `initial_lr_frac` one step before the first: from 0, step 0 still moves the weights. In the same
    way `min_lr_frac` is reached at S, one step after the last.

    Args:
        plan: gives the length of the run.
        warmup_steps: W, in steps.
        warmup_frac: W as a share of the run instead; with both null it is DEFAULT_WARMUP_FRAC.
        initial_lr_frac: learning rate that the warm-up begins from, as a share of optim.lr.
        min_lr_frac: learning rate that the cosine ends at, as a share of optim.lr.
    Raises:
        OptimError: both warm-ups are set, a warm-up is longer than the run, a share is out of its range.
    Source: SGDR, arXiv:1608.03983; the warm-up's formula is nanoGPT's `get_lr`.
    """

    def __init__(
        self,
        plan: Plan,
        warmup_steps: int | None = None,
        warmup_frac: float | None = None,
        initial_lr_frac: float = 0.0,
        min_lr_frac: float = 0.1,
    ) -> None:
        _check_frac("initial_lr_frac", initial_lr_frac)
        _check_frac("min_lr_frac", min_lr_frac)
        self.max_steps = plan.max_steps
        self.warmup_steps = _resolve_warmup(warmup_steps, warmup_frac, plan)
        self.initial_lr_frac, self.min_lr_frac = initial_lr_frac, min_lr_frac

    def factor(self, step: int) -> float:
        if step < self.warmup_steps:
            return _line(step, self.warmup_steps, self.initial_lr_frac)
        if step >= self.max_steps:
            return self.min_lr_frac
        progress = (step - self.warmup_steps) / (self.max_steps - self.warmup_steps)
        return self.min_lr_frac + (1 - self.min_lr_frac) * (1 + math.cos(math.pi * progress)) / 2


class Constant(Schedule):
    """A straight line up to the peak, as in WarmupCosine, then the peak.

    Args:
        plan: gives the length of the run.
        warmup_steps: warm-up, in steps.
        warmup_frac: the same as a share of the run instead; with both null it is DEFAULT_WARMUP_FRAC.
        initial_lr_frac: learning rate that the warm-up begins from, as a share of optim.lr.
    Raises:
        OptimError: as WarmupCosine.
    """

    def __init__(
        self,
        plan: Plan,
        warmup_steps: int | None = None,
        warmup_frac: float | None = None,
        initial_lr_frac: float = 0.0,
    ) -> None:
        _check_frac("initial_lr_frac", initial_lr_frac)
        self.warmup_steps = _resolve_warmup(warmup_steps, warmup_frac, plan)
        self.initial_lr_frac = initial_lr_frac

    def factor(self, step: int) -> float:
        return _line(step, self.warmup_steps, self.initial_lr_frac) if step < self.warmup_steps else 1.0


def _line(step: int, warmup_steps: int, initial: float) -> float:
    return initial + (1 - initial) * (step + 1) / (warmup_steps + 1)


def _resolve_warmup(warmup_steps: int | None, warmup_frac: float | None, plan: Plan) -> int:
    """Return the warm-up in steps."""
    if warmup_steps is not None and warmup_frac is not None:
        raise OptimError(
            f"schedule.warmup_steps={warmup_steps} and schedule.warmup_frac={warmup_frac} both set the warm-up; "
            "keep one and set the other to null"
        )
    if warmup_steps is not None:
        _check_fits(warmup_steps, plan)
        return warmup_steps
    frac = DEFAULT_WARMUP_FRAC if warmup_frac is None else warmup_frac
    _check_frac("warmup_frac", frac)
    return round(frac * plan.max_steps)


def _check_fits(warmup_steps: int, plan: Plan) -> None:
    if warmup_steps < 0:
        raise OptimError(f"schedule.warmup_steps: {warmup_steps} is not at least 0; 0 for no warm-up")
    if warmup_steps > plan.max_steps:
        raise OptimError(
            f"schedule.warmup_steps: {warmup_steps} steps are longer than the run of {plan.max_steps} steps "
            f"({plan.max_tokens:,} tokens / {plan.tokens_per_step:,} a step); "
            f"set at most {plan.max_steps}, or a longer run by trainer.max_steps"
        )


def _check_frac(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise OptimError(f"schedule.{name}: {value} is not in [0, 1]; {SHARES[name]}")
