"""What is applied to a model from outside: ranks, number formats, compilation."""

from __future__ import annotations

from foundation.errors import ConfigError


class ParallelError(ConfigError):
    """A way of spreading, computing or compiling the model that can't work here."""
