"""What a user can mend in this room."""

from __future__ import annotations

from foundation.errors import ConfigError, GroundworkError


class ParallelError(ConfigError):
    """A way of spreading, computing or compiling the model that can't work here."""


class ReplicasDiffer(GroundworkError):
    """Ranks that must hold the same state no longer do."""
