"""What a user can mend in this room."""

from __future__ import annotations

from foundation.errors import ConfigError


class GuardError(ConfigError):
    """A guard's setting can't work, or its saved state isn't one."""
