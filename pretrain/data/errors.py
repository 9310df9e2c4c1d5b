"""What a user can mend in this room."""

from __future__ import annotations

from foundation.errors import ConfigError


class DataError(ConfigError):
    """The training data are missing, too few, or not what the configuration says of them."""
