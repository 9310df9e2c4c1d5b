"""The learning rate on paper: against the option's own, and how it begins."""

from __future__ import annotations

import math
from pathlib import Path

from foundation.config.compose import read_config
from pretrain.checkpoint.gate import CONFIG
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning

OPTIONS = Path(__file__).parents[2] / "conf" / "optim"
HIGH, ABSURD = 10.0, 100.0  # times the option's own rate
LOW = 0.01
LARGE_BATCH_TOKENS = (
    65_536  # from here on a first step at the full rate is known to harm, arXiv:1706.02677, section 2.2
)
EARLY_FRAC = 0.5  # of the peak: a first step above it has no warm-up
LOOKED_AT = 1000  # steps of the schedule


class LearningRate(Rung):
    """Peak, preset and warm-up."""

    name = "learning rate"
    is_of_all = True

    def check(self, subject: Subject) -> Finding:
        run = subject.run
        target = str(run.gate.get(CONFIG, {}).get("optim", {}).get("_target_", ""))
        preset, steps = preset_of(target), looked_at(run.plan.max_steps)
        factors = [run.schedule.factor(step) for step in steps]
        if bad := [step for step, factor in zip(steps, factors, strict=True) if not 0 <= factor < math.inf]:
            wrong = stop(f"the schedule's factor in step {bad[0]} is {run.schedule.factor(bad[0])}; mend schedule=")
            return self.found(f"{run.optimizer.lr:g}", [wrong])
        peak = max(factors) * run.optimizer.lr
        top = steps[factors.index(max(factors))]
        figure = f"{factors[0] * run.optimizer.lr:.3g} at first, {peak:.3g} at step {top + 1}, "
        figure += f"{factors[-1] * run.optimizer.lr:.3g} at the end" + (
            f"; the option's own is {preset:g}" if preset else ""
        )
        problems = judged(peak, preset)
        if (
            subject.is_fresh
            and factors[0] > EARLY_FRAC * max(factors)
            and run.plan.tokens_per_step >= LARGE_BATCH_TOKENS
        ):
            problems.append(
                warning(
                    f"a batch of {run.plan.tokens_per_step:,} tokens begins at {factors[0] / max(factors):.0%} of the "
                    "peak: large ones need a warm-up (arXiv:1706.02677); set schedule.warmup_steps"
                )
            )
        return self.found(figure, problems)


def judged(peak: float, preset: float | None) -> list[Problem]:
    """Return what is odd about a peak.

    Args:
        peak: the highest rate. preset: that of the option; None where it has none.
    """
    if preset is None or LOW * preset <= peak <= HIGH * preset:
        return []
    times = peak / preset
    told = f"the peak is {times:.3g} times the option's own rate of {preset:g}: did you mean optim.lr={preset:g}?"
    return [stop(told) if times > ABSURD else warning(told)]


def preset_of(target: str) -> float | None:
    """Return the learning rate of the option in conf/optim with this `_target_`; None for a class of the user's own."""
    for path in sorted(OPTIONS.glob("*.yaml")):
        option = read_config(path)
        if option.get("_target_") == target and isinstance(option.get("lr"), int | float):
            return float(option["lr"])
    return None


def looked_at(max_steps: int) -> list[int]:
    """Return the steps, from 0, whose rate is asked: all, or as many as LOOKED_AT, first and last among them."""
    count = min(max_steps, LOOKED_AT)
    return [number * (max_steps - 1) // max(count - 1, 1) for number in range(count)]
