"""How many bad steps a run may take: a few are normal; a run that keeps skipping makes no progress."""

from __future__ import annotations

from typing import Any

from pretrain.stability.errors import GuardError


class SkipBudget:
    """Counts skips; says when they are too many. The same on every rank, for all see the same verdicts.

    Args:
        max_in_row: skips without an accepted step in between.
        max_recent: skips within the last `recent_steps` steps.
        recent_steps: length of that stretch.
    Attributes:
        last_update: the last accepted step, which is the last that touched the weights; 0 before the first.
    """

    def __init__(self, max_in_row: int, max_recent: int, recent_steps: int) -> None:
        self._max_in_row, self._max_recent, self._recent_steps = max_in_row, max_recent, recent_steps
        self._total, self._in_row = 0, 0
        self._recent: list[int] = []  # steps, rising; at most max_recent + 1
        self._stopped = False
        self.last_update = 0

    def count(self, step: int, skipped: bool) -> str:
        """Take one verdict, in the order of steps; return what is exceeded, or nothing."""
        exceeded = self._exceeded(step, skipped)
        self._stopped |= bool(exceeded)
        return exceeded

    def _exceeded(self, step: int, skipped: bool) -> str:
        self._recent = [earlier for earlier in self._recent if earlier > step - self._recent_steps]
        self._in_row = self._in_row + 1 if skipped else 0
        if not skipped:
            self.last_update = step
            return ""
        self._total += 1
        self._recent = [*self._recent, step][-self._max_recent - 1 :]
        if self._in_row > self._max_in_row:
            return f"{self._in_row} steps in a row were skipped, spike.max_skips_in_row={self._max_in_row}"
        if len(self._recent) > self._max_recent:
            return (
                f"{len(self._recent)} of the last {self._recent_steps} steps were skipped, "
                f"spike.budget_skips={self._max_recent}"
            )
        return ""

    def facts(self) -> dict[str, Any]:
        """Return the counts as JSON values.

        After a stop those that the next start begins with: to go on is the user's decision, and with the old counts
        the next bad step would be the next stop.
        """
        in_row, recent = (0, []) if self._stopped else (self._in_row, list(self._recent))
        return {"skips": self._total, "skips_in_row": in_row, "recent_skips": recent, "last_update": self.last_update}

    def restore(self, facts: dict[str, Any]) -> None:
        """Take back what `facts` gave.

        Raises:
            GuardError: they are another guard's.
        """
        try:
            self._total, self._in_row = int(facts["skips"]), int(facts["skips_in_row"])
            self._recent = [int(step) for step in facts["recent_skips"]]
            self.last_update, self._stopped = int(facts["last_update"]), False
        except (KeyError, TypeError, ValueError) as error:
            raise GuardError(
                "spike: the checkpoint was saved with another guard, its counts are not this one's; choose that guard"
            ) from error
