"""What a user can mend in this room."""

from __future__ import annotations

from foundation.errors import ConfigError


class MetricsError(ConfigError):
    """A setting of a logger or the profiler that can't work."""
