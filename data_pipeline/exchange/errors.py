"""The exchange's family of errors."""

from __future__ import annotations

from foundation.errors import GroundworkError


class ExchangeError(GroundworkError):
    """Shards can't be merged, imported or exported as they are; nothing was made."""
