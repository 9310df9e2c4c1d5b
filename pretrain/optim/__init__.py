"""Optimizers, and the learning rate over the run."""

from __future__ import annotations

from foundation.errors import ConfigError


class OptimError(ConfigError):
    """A setting of the optimizer or the schedule that can't work."""
