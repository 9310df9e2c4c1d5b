"""A folder that is whole or absent: built beside its place under a name of its own, renamed when it is finished."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from data_pipeline.exchange.errors import ExchangeError
from data_pipeline.output_dir import TEMPORARY
from data_pipeline.storage import DiskFull, room_for
from foundation.files import LOCK, folder_lock, sync_dir, write_atomic

PLAN = ".plan"  # in the unfinished folder: the hash of what is being made there


@contextlib.contextmanager
def building(out: Path, num_bytes: int, plan: str | None = None) -> Iterator[Path]:
    """Yield the folder to write into; it becomes `out` when the block ends well.

    Args:
        out: absent, or an empty folder.
        num_bytes: that will be written, asked of the disk before anything is.
        plan: of a block that can go on from what is there, the hash of all that the result depends on: what a stopped
            command left is used only by the same one. None: it begins anew, and leaves nothing when it fails.
    Raises:
        ExchangeError: `out` holds something.
        DiskFull: says how many bytes were needed.
        FolderLocked: another process is at it.
    """
    out = out.expanduser().absolute()
    unfinished = out.with_name(f".{out.name}.unfinished")
    _require_absent(out)
    is_whole = False
    with folder_lock(unfinished), room_for(out, num_bytes):
        try:
            _require_absent(out)  # who held the lock may have finished it
            known = unfinished / PLAN
            if plan is None or not known.is_file() or known.read_text() != plan:
                _clear(unfinished)
            for path in unfinished.rglob(TEMPORARY):  # of a process that was killed
                path.unlink()
            if plan is not None:
                write_atomic(known, plan.encode())
            _ask_room(unfinished, num_bytes)
            yield unfinished
            known.unlink(missing_ok=True)
            (unfinished / LOCK).unlink()
            unfinished.replace(out)
            sync_dir(out.parent)
            is_whole = True
        finally:
            if not is_whole and (plan is None or _is_bare(unfinished)):
                shutil.rmtree(unfinished)


def _require_absent(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise ExchangeError(f"{out}: is there already and would be overwritten; name a new folder, or remove it first")


def _ask_room(unfinished: Path, num_bytes: int) -> None:
    there = sum(path.stat().st_size for path in unfinished.rglob("*") if path.is_file())
    free = shutil.disk_usage(unfinished).free
    if num_bytes - there > free:
        raise DiskFull(
            f"{unfinished.parent}: {num_bytes - there:,} bytes needed, {free:,} bytes free; nothing was written: "
            "make room or name a folder on another disk"
        )


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _is_bare(folder: Path) -> bool:
    """Return whether nothing of what was to be made is there."""
    return all(path.name in (LOCK, PLAN) for path in folder.iterdir())
