"""What a user can mend in this room."""

from __future__ import annotations

from foundation.errors import ConfigError


class ParallelError(ConfigError):
    """A way of spreading, computing or compiling the model that can't work here."""
