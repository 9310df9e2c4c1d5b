"""The inspection's family of errors."""

from __future__ import annotations

from foundation.errors import GroundworkError


class InspectionError(GroundworkError):
    """What was asked for is not in these shards."""
