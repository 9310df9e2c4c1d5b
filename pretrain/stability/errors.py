"""What a user can mend in this room."""

from __future__ import annotations

from foundation.errors import GroundworkError


class GuardError(GroundworkError):
    """A guard's setting can't work, or its saved state isn't one."""
