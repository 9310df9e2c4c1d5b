"""Whether the run can learn a few sequences by heart: what can't won't learn a corpus."""

from __future__ import annotations

from pretrain.debug.gradients import listed
from pretrain.debug.overfit import Overfitting, overfit
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning

MOST_S = 600.0  # a GPU, or a small model, needs a part of it; a large one on a CPU would take hours


class ByHeart(Rung):
    """One, two and five sequences to a loss near 0, and synthetic ones of 16, 128 and all tokens.

    A small model at a low rate gets there later than in so many steps: what fell by more than half is a warning.
    """

    name = "overfitting"
    updates = True
    restores = True

    def check(self, subject: Subject) -> Finding:
        found = overfit(subject.run, most_s=MOST_S, beat=subject.pulse.beat)
        learnt = sum(not attempt.problems for attempt in found.attempts)
        last = found.attempts[-1]
        count = len(found.attempts) + len(found.left_out)
        figure = f"{learnt} of {count} batches learnt by heart, the last to {last.losses[-1]:.3g} nats"
        if last.frozen:
            figure += f"; frozen, and bitwise what they were: {listed(last.frozen)}"
        told = [attempt.told for attempt in found.attempts]
        return self.found(figure, judged(found), [*told, last.gradients_told])


def judged(found: Overfitting) -> list[Problem]:
    """Return what is wrong: of an attempt that was on its way, or for which time was lacking, a warning."""
    problems = [
        (warning if text == attempt.slow else stop)(f"{attempt.name}: {text}")
        for attempt in found.attempts
        for text in attempt.problems
    ]
    if found.left_out:
        problems.append(warning(f"no time for {', '.join(found.left_out)}: {MOST_S:.0f} s are over"))
    return problems
