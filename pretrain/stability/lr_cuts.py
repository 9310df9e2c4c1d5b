"""Learning rates cut for a while: a closed form of the step, so that a run that is killed has the same ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LrCut:
    """A cut that heals along half a cosine.

    Attributes:
        step: that it begins at, 0-based. factor: of the learning rate there. num_steps: after so many it is over.
    """

    step: int
    factor: float
    num_steps: int

    def at(self, step: int) -> float:
        """Return the factor at a step; 1 outside of the cut."""
        since = step - self.step
        if not 0 <= since < self.num_steps:
            return 1.0
        return self.factor + (1.0 - self.factor) * (1.0 - math.cos(math.pi * since / self.num_steps)) / 2.0


def lowest(cuts: Iterable[LrCut], step: int) -> float:
    """Return the lowest factor of several cuts at a step: they don't multiply."""
    return min((cut.at(step) for cut in cuts), default=1.0)
