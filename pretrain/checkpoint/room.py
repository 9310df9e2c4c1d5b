"""Whether the disk has room for a checkpoint: asked before a byte is copied or written.

What pruning will free is not counted: a checkpoint goes only after the new one stands.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from torch import Tensor

from foundation.hashes import BLOCK_BYTES
from pretrain.checkpoint.blocks import ALIGN_BYTES, SUM_BYTES
from pretrain.checkpoint.staging import state_bytes

JSON_BYTES = 1 << 20  # manifest, description and facts
RANK_BYTES = 1 << 16  # a rank's facts, its random states above all
RANK_FILES, OTHER_FILES = 3, 6  # its .bin, .sum, .json; the folder, four files and one that replaces another


def bytes_needed(tensors: dict[str, Tensor], world_size: int) -> int:
    """Return at most how many bytes a checkpoint of these tensors takes."""
    chunks_bytes = state_bytes(tensors) + ALIGN_BYTES * len(tensors) * world_size
    sums_bytes = (chunks_bytes // BLOCK_BYTES + world_size) * SUM_BYTES
    return chunks_bytes + sums_bytes + RANK_BYTES * world_size + JSON_BYTES


def require_room(folder: Path, needed_bytes: int, world_size: int) -> None:
    """Check that a checkpoint fits beside those that are there.

    Raises:
        OSError: too few bytes are free, or too few files.
    """
    if shutil.disk_usage(folder).free < needed_bytes:
        raise OSError(errno.ENOSPC, "the disk has no room for it")
    found, needed_files = os.statvfs(folder), RANK_FILES * world_size + OTHER_FILES
    if found.f_files and found.f_favail < needed_files:  # 0 in all: a file system that doesn't count them
        told = f"the disk has room for {found.f_favail} more files, {needed_files} are needed"
        raise OSError(errno.ENOSPC, told)
