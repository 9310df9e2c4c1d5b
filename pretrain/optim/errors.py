"""What a user can mend in this room."""

from __future__ import annotations

from foundation.errors import ConfigError


class OptimError(ConfigError):
    """A setting of the optimizer or the schedule that can't work."""
