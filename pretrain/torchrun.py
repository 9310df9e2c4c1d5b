"""What a process learns from its launcher. Imports no torch: help and early errors are not to wait for it."""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta
from pathlib import Path

from foundation.hashes import hash_bytes

STORE_TIMEOUT = timedelta(seconds=5)  # of an answer from torchrun's own process
FILE_STORE = "GROUNDWORK_STORE"  # where the ranks of launcher=local meet: a file in a folder that is theirs alone
PARENT = "GROUNDWORK_PARENT"  # process number of launcher=local
RESTARTS, MAX_RESTARTS = "TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_MAX_RESTARTS"  # launcher=local sets both as well
# in the environment of what launch/child.py starts, torchrun or ranks: one that launched again would never end. It is a
# folder where these processes leave word for each other: torchrun hides exit codes, and a signal doesn't say why
LAUNCHED = "GROUNDWORK_LAUNCHED"
ASKED_BY, END = "asked_by", "end"  # the words: the signal that launch/child.py heard first; an exit code that is final
REFUSED, ASKED = "groundwork/refused", "groundwork/asked"
_taken: dict[str, Path] = {}


def is_worker() -> bool:
    """Return whether this process is a rank of torchrun or launcher=local: such a one never launches or sweeps."""
    return "RANK" in os.environ


def is_launched() -> bool:
    """Return whether launch/child.py, and not the user, typed the line of this process or of its launcher."""
    return LAUNCHED in os.environ


def leave_word(name: str, text: str, folder: Path | None = None) -> None:
    """Leave word for the processes of this launch; the first word stands.

    Args:
        name: ASKED_BY or END. text: the word.
        folder: of the launch; None takes that which launch/child.py gave this process: without one it is no word.
    """
    folder = _words() if folder is None else folder
    if folder is not None:
        with contextlib.suppress(OSError):  # there already; or a full disk: the ending is then told without it
            write = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(write, text.encode())
            os.close(write)


def word(name: str, folder: Path | None = None) -> str:
    """Return the word that was left; empty where there is none. The arguments are those of `leave_word`."""
    folder = _words() if folder is None else folder
    try:
        return "" if folder is None else (folder / name).read_text()
    except OSError:
        return ""


def _words() -> Path | None:
    return Path(os.environ[LAUNCHED]) if is_launched() else None


def file_store() -> Path | None:
    """Return where the ranks of launcher=local meet, if it started this one; what this process starts doesn't learn it.

    Taken out of the environment at the first call: a program that a user's class starts is none of these ranks.
    """
    if (path := os.environ.pop(FILE_STORE, None)) is not None:
        _taken[FILE_STORE] = Path(path)
    return _taken.get(FILE_STORE)


def under_torchrun() -> bool:
    """Return whether torchrun itself started this process: it kills what has not ended some time after its signal."""
    return is_worker() and file_store() is None


def would_be_restarted() -> bool:
    """Return whether a launcher would start this rank again if it were killed: torchrun by itself does so 0 times."""
    return is_worker() and int(os.environ.get(MAX_RESTARTS, 0)) > int(os.environ.get(RESTARTS, 0))


def speaks(message: str) -> bool:
    """Return whether this process is the first of its ranks with `message`: an error that all hit is printed once.

    Asked of what outlives the ranks: the store in torchrun's own process, or the folder of launcher=local. A rank that
    can't reach it speaks for itself.
    """
    env, said = os.environ, hash_bytes(message.encode())
    if env.get("WORLD_SIZE", "1") == "1":
        return True
    if path := file_store():
        return _first_to_make(Path(f"{path}.said.{said}"))
    said = f"groundwork/said/{env.get(RESTARTS, '0')}/{said}"
    # a node may be started again and keep its count of restarts
    turn = _count(f"{said}/{env.get('RANK')}", 1)
    return turn is None or _count(f"{said}/turn/{turn}", 1) in (1, None)


def refuse_restarts(code: int) -> None:
    """Have the ranks that a launcher starts after these leave at once: what ended these would end them as well.

    Args:
        code: with which this rank ends.
    """
    leave_word(END, str(code))
    if path := file_store():
        path.with_name(f"{path.name}.refused").touch()
    elif is_worker() and not is_launched():
        _count(REFUSED, 1)


def code_to_leave_with(refused: int) -> int | None:
    """Return the exit code with which this restart leaves at once, where ranks before it called `refuse_restarts`.

    Args:
        refused: the code of a start that was refused.
    Returns:
        0 under launch/child.py, which has word of the code: torchrun then starts none again. None: this rank goes on.
    """
    if int(os.environ.get(RESTARTS, 0)) == 0 or not under_torchrun():
        return None  # launcher=local starts none then
    if is_launched():
        return 0 if word(END) else None
    return refused if _count(REFUSED, 0) else None


def launcher_is_gone() -> bool:
    """Return whether torchrun ended before this process could ask the kernel to end with it: its store is silent."""
    return _has_store() and _count(ASKED, 0) is None


def _has_store() -> bool:
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _count(key: str, more: int) -> int | None:
    """Add to a number in the store of torchrun's own process, which is there before the ranks and after them.

    Returns:
        The sum; None where there is no such store, or it does not answer.
    """
    env = os.environ
    if not _has_store():
        return None
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    try:
        store = TCPStore(env["MASTER_ADDR"], int(env["MASTER_PORT"]), is_master=False, timeout=STORE_TIMEOUT)
        return int(store.add(key, more))
    except RuntimeError:  # DistError is one
        return None


def _first_to_make(path: Path) -> bool:
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        return True
    return True
