"""What a user can mend in this room."""

from __future__ import annotations

from foundation.errors import ConfigError


class EvaluateError(ConfigError):
    """A setting of the evaluation that can't work."""


class SamplingError(EvaluateError):
    """A setting of generation that can't work."""
