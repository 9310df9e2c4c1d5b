"""What can be wrong with a checkpoint, and what the user does about it."""

from __future__ import annotations

from foundation.errors import GroundworkError


class CheckpointError(GroundworkError):
    """Base of this room's errors."""


class DamagedCheckpoint(CheckpointError):
    """A byte, a file or the manifest is not what was saved. An earlier one is used where that is allowed."""


class UnhealthyCheckpoint(CheckpointError):
    """The checkpoint is whole, but its tensors held NaN or infinity when it was saved."""


class NewerCheckpoint(CheckpointError):
    """The checkpoint was written in a newer format than this version reads."""


class CheckpointMismatch(CheckpointError):
    """The checkpoint is whole, but of another model: names, shapes or dtypes differ."""


class ResumeRefused(CheckpointError):
    """The run was changed in a way that makes it another run than the one that was saved."""


class SaveFailed(CheckpointError):
    """Nothing was saved; the checkpoints before it are as they were."""


class NoRoom(SaveFailed):
    """The disk is full, the quota used up or the file system read-only: the next save would fail alike."""

    restart_helps = False  # the disk is as full after it


class SaveGivenUp(CheckpointError):
    """A save was ended from outside before it was done; the checkpoints before it are as they were."""


class NotTensorsOnly(CheckpointError):
    """Something other than a tensor was to be saved or loaded; such an item could be unpickled, so it is refused."""
