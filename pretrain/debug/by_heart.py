"""Whether the run can learn a few sequences by heart: what can't won't learn a corpus."""

from __future__ import annotations

from pretrain.debug.overfit import overfit
from pretrain.debug.rung import Finding, Rung, Subject, stop, warning


class ByHeart(Rung):
    """One, two and five sequences to a loss near 0, and synthetic ones of 16, 128 and all tokens.

    A small model at a low rate gets there later than in so many steps: what fell by more than half is a warning.
    """

    name = "overfitting"
    updates = True

    def check(self, subject: Subject) -> Finding:
        found = overfit(subject.run)
        problems = [
            (warning if text == attempt.slow else stop)(f"{attempt.name}: {text}")
            for attempt in found.attempts
            for text in attempt.problems
        ]
        learnt = sum(not attempt.problems for attempt in found.attempts)
        last = found.attempts[-1]
        figure = f"{learnt} of {len(found.attempts)} batches learnt by heart, the last to {last.losses[-1]:.3g} nats"
        return self.found(figure, problems, (attempt.told for attempt in found.attempts))
