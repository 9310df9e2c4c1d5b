"""How many skips a run may take: a few are normal; a run that keeps skipping makes no progress."""

from __future__ import annotations

from typing import Any

from pretrain.stability.errors import GuardError


class SkipBudget:
    """Counts skips; says when they are too many. The same on every rank, for all see the same verdicts.

    Args:
        max_in_row: skips one after the other.
        max_recent: skips within the last `recent_steps` steps.
        recent_steps: length of that stretch.
    """

    def __init__(self, max_in_row: int, max_recent: int, recent_steps: int) -> None:
        self._max_in_row, self._max_recent, self._recent_steps = max_in_row, max_recent, recent_steps
        self._total, self._in_row = 0, 0
        self._recent: list[int] = []  # steps, rising; at most max_recent + 1

    def count(self, step: int, skipped: bool) -> str:
        """Take one verdict, in the order of steps; return what is exceeded, or nothing."""
        self._recent = [earlier for earlier in self._recent if earlier > step - self._recent_steps]
        self._in_row = self._in_row + 1 if skipped else 0
        if not skipped:
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
        """Return the counts as JSON values."""
        return {"skips": self._total, "skips_in_row": self._in_row, "recent_skips": list(self._recent)}

    def restore(self, facts: dict[str, Any]) -> None:
        """Take back what `facts` gave.

        Raises:
            GuardError: they are another guard's.
        """
        try:
            self._total, self._in_row = int(facts["skips"]), int(facts["skips_in_row"])
            self._recent = [int(step) for step in facts["recent_skips"]]
        except (KeyError, TypeError, ValueError) as error:
            raise GuardError(
                "spike: the checkpoint was saved with another guard, its counts are not this one's; choose that guard"
            ) from error
