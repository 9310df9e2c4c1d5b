"""The errors of this room."""

from __future__ import annotations

from foundation.errors import GroundworkError


class DecontaminationError(GroundworkError):
    """A test set that is missing, empty or not what it claims to be, or nothing that could be sought.

    Nothing here is skipped with a warning: a corpus that was compared with nothing would be reported as clean.
    """
