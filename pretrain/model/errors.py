"""What a user can mend in this room."""

from __future__ import annotations

from foundation.errors import ConfigError


class ModelError(ConfigError):
    """A model can't be built as configured, or is given what it can't take."""
