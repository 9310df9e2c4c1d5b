"""What ends a run, or a check of one, in this room."""

from __future__ import annotations

from foundation.errors import GroundworkError


class NotCleared(GroundworkError):
    """A rung of preflight said stop: the run would cost something and come to nothing."""

    exit_code = 5
    restart_helps = False
