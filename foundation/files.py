"""Files that are whole or absent: written beside their place, flushed to disk, renamed. And the lock on a folder."""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from foundation.errors import GroundworkError, InputError

LOCK = ".lock"  # in the folder that it locks
NAMED_S = 1.0  # for who holds a lock to write its name into it


class FolderLocked(GroundworkError):
    """Another process works in this folder."""


class FolderUnusable(GroundworkError):
    """A folder can't be made or written."""


def canonical_json(value: Any) -> bytes:
    """Return `value` as compact JSON with sorted keys: equal values give equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def pretty_json(value: Any) -> bytes:
    """Return `value` as indented JSON with sorted keys and a final newline, for files that people read."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        InputError: the file is no JSON; names it and the parser's reason.
        OSError: the file can't be read.
    """
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON ({error}); restore it or remove it and run again") from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that after any crash `path` holds the old bytes or the new ones, never a part.

    Raises:
        OSError: the disk is full or the folder isn't writable; the old file is untouched.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as indented JSON with sorted keys."""
    write_atomic(path, pretty_json(value))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is flushed and renamed to `path`, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    try:
        yield temporary
        sync_file(temporary)
        temporary.replace(path)
        sync_dir(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Flush a file's bytes to disk. An error is the caller's to see: a failed fsync is never retried as a success."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_dir(path: Path) -> None:
    """Flush a folder's entries: a rename is durable only after this (POSIX leaves it open)."""
    sync_file(path)


@contextlib.contextmanager
def folder_lock(folder: Path, wait_s: float = 10.0) -> Iterator[None]:
    """Hold the folder for this process; the kernel releases the lock when the process ends, however it ends.

    Args:
        folder: made when it is missing; the lock is its file `.lock`. Where its owner moves it away, a waiting one gets
            the folder that has its name then.
        wait_s: how long to wait for another owner.
    Raises:
        FolderLocked: the other owner is still there; names its host, process, start and script.
        FolderUnusable: the folder can't be made, written or locked; says why.
    """
    descriptor = _open_lock(folder)
    try:
        _wait_for_lock(descriptor, folder, wait_s)
        while not _is_lock_of(folder, descriptor):  # its owner has moved the folder away meanwhile
            anew = _open_lock(folder)
            os.close(descriptor)
            descriptor = anew
            _wait_for_lock(descriptor, folder, wait_s)
        os.ftruncate(descriptor, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        owner = f"process {os.getpid()} on {socket.gethostname()}, since {since}{_command()}"
        os.pwrite(descriptor, owner.encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _command() -> str:
    """Return which script runs, without its arguments: they may hold what belongs in no file."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return f", {'/'.join(Path(script).parts[-2:])}" if script else ""


def _open_lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise FolderUnusable(f"{folder}: can't be made or written ({error.strerror}); choose another folder") from error


def _is_lock_of(folder: Path, descriptor: int) -> bool:
    """Return whether the open file is still the one by which others would lock this folder."""
    try:
        return os.path.samestat((folder / LOCK).stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _wait_for_lock(descriptor: int, folder: Path, wait_s: float) -> None:
    started = time.monotonic()
    is_announced = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            named = os.pread(descriptor, 1000, 0).decode(errors="replace")
            owner = named or "another process"
            if time.monotonic() >= started + wait_s:
                raise FolderLocked(
                    f"{folder}: {owner} works here, waited {wait_s:.0f} s; "
                    "let it finish, stop it, or choose another folder"
                ) from None
            # who has just taken it writes its name a moment later
            if not is_announced and (named or time.monotonic() >= started + NAMED_S):
                print(f"waiting up to {wait_s:.0f} s for {owner}, which works in {folder}", file=sys.stderr, flush=True)
                is_announced = True
            time.sleep(0.1)
        except OSError as error:  # a network disk without locks
            raise FolderUnusable(
                f"{folder}: can't be locked ({error.strerror}); choose a folder on a disk that knows locks"
            ) from error


def nearest_existing(missing: Path) -> str:
    """Return the existing path most like one that doesn't exist: a sibling of similar name, else the deepest folder."""
    while not os.path.exists(missing.parent):  # noqa: PTH110, which may raise
        missing = missing.parent
    folder = missing.parent
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        return str(folder)
    similar = difflib.get_close_matches(missing.name, sorted(path.name for path in folder.iterdir()), n=1, cutoff=0.5)
    return str(folder / similar[0]) if similar else f"{folder}{os.sep}"
