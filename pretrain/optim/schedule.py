"""The learning rate over the run: closed forms of the step, so that a resumed run has the same bits."""

from __future__ import annotations

import math

from foundation.errors import require
from pretrain.plan import Plan
from pretrain.seats import Schedule

SHARES = {
    "warmup_frac": "the run",
    "initial_lr_frac": "optim.lr",
    "min_lr_frac": "optim.lr",
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
        SettingError: both warm-ups are set, a warm-up is longer than the run, a share is out of its range.
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
        SettingError: as WarmupCosine.
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
    if warmup_steps is not None:
        allowed = f"null, or null instead of warmup_frac={warmup_frac}: one alone sets the warm-up"
        require(warmup_frac is None, "warmup_steps", warmup_steps, allowed)
        allowed = (
            f"0 for no warm-up, or up to {plan.max_steps}, the steps of the run ({plan.max_tokens:,} tokens / "
            f"{plan.tokens_per_step:,} per step); trainer.max_steps sets a longer one"
        )
        require(0 <= warmup_steps <= plan.max_steps, "warmup_steps", warmup_steps, allowed)
        return warmup_steps
    frac = DEFAULT_WARMUP_FRAC if warmup_frac is None else warmup_frac
    _check_frac("warmup_frac", frac)
    return round(frac * plan.max_steps)


def _check_frac(name: str, value: float) -> None:
    require(0 <= value <= 1, name, value, f"a number from 0 to 1: a share of {SHARES[name]}")
