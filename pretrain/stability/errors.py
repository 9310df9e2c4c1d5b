"""What a user can mend in this room."""

from __future__ import annotations

from foundation.errors import ConfigError


class GuardError(ConfigError):
    """A guard's setting can't work, or its saved state isn't one."""


class JournalRefused(GuardError):
    """What spike.skip_windows names is no journal that this run can take batches from."""

    restart_helps = False
