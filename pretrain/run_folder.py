"""The folder of a run: whose it is, what its config was, how it ended."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from foundation.config.compose import config_yaml, read_config
from foundation.errors import ConfigError, GroundworkError
from foundation.files import FolderUnusable, folder_lock, write_atomic, write_json
from foundation.secrets import without_secrets
from pretrain.attempts import CrashLoop, open_attempt
from pretrain.checkpoint.changes import compare, leaves, refusal
from pretrain.checkpoint.integrity import step_folders
from pretrain.checkpoint.rules import Class
from pretrain.mesh import Mesh
from pretrain.run_files import CHECKPOINTS, CONFIG, CRASH_LOOP, METRICS, STATUS, read_status
from pretrain.types import Status

LOCK_WAIT_S = 30.0  # a run whose launcher was killed may still be saving: as long as torchrun would leave it


class RunExists(ConfigError):
    """The folder holds a run with another config."""


class FolderVanished(GroundworkError):
    """The folder of a run that goes on was deleted or moved."""

    restart_helps = False  # it would begin anew, of which nobody has asked


@contextlib.contextmanager
def claimed(folder: Path, tree: dict[str, Any], mesh: Mesh, saves: bool = True) -> Iterator[Status | None]:
    """Hold the folder as this run's own; yield how the run ended if there is nothing left to do.

    Args:
        folder: runs/<run_name>. tree: the resolved config. mesh: rank 0 acts, every rank learns of it.
        saves: whether this run has checkpoints.
    Raises:
        RunExists: the folder holds a run with another config. FolderLocked: another process trains in it.
        ConfigError: it can't be written.
    """
    with contextlib.ExitStack() as held:
        ended = mesh.on_main(lambda: _lock_and_claim(folder, tree, mesh.restarts, saves, held))
        yield Status(ended) if ended else None


def _lock_and_claim(
    folder: Path, tree: dict[str, Any], restarts: int, saves: bool, held: contextlib.ExitStack
) -> str | None:
    try:
        if tree["resume"] == "never" and not restarts:  # a restart goes on with what this command began
            with folder_lock(folder, LOCK_WAIT_S):
                move_aside(folder)
        held.enter_context(folder_lock(folder, LOCK_WAIT_S))
        changed = claim(folder, tree, tree["allow_change"] or [], saves)
        ended = None if changed else _ended(folder, tree["resume"], restarts)
        if ended is None:
            open_attempt(folder, tree, restarts)
        return ended
    except CrashLoop as error:
        write_status(folder, Status.FAILED, str(error), error.step, CRASH_LOOP)
        raise
    except FolderUnusable as error:
        raise ConfigError(f"runs_dir: {error}") from error
    except OSError as error:
        raise ConfigError(
            f"runs_dir: {folder} can't be written ({error}); set runs_dir= to a disk with room"
        ) from error


def _ended(folder: Path, resume: str, restarts: int) -> str | None:
    """Return the status of a run that is over."""
    status = read_status(folder)
    if status.get("status") == Status.FINISHED.value and (restarts or not is_own_checkpoint(folder, resume)):
        print(
            f"{folder}: finished at step {status['step']} already; choose another run_name=, or redo it: resume=never"
        )
        return Status.FINISHED.value
    if restarts and (status.get("status") == Status.STOPPED.value or CRASH_LOOP in status):
        return str(status["status"])  # torchrun restarts whoever leaves with an error; this stop was meant
    return None


def is_own_checkpoint(folder: Path, resume: str) -> bool:
    """Return whether `resume=` names a checkpoint of the run in `folder`: a request to go back to it."""
    return Path(resume).resolve().parent == (folder / CHECKPOINTS).resolve()


def require_name(run_name: str) -> None:
    """Check that the run's folder lies inside `runs_dir`; a `/` groups runs, as a sweep does.

    Raises:
        ConfigError: it doesn't, or is `runs_dir` itself.
    """
    if {"", ".", ".."} & set(run_name.split("/")):
        raise ConfigError(
            f"run_name: {run_name!r} is no name of a folder inside runs_dir; allowed are names, also joined by /, "
            "such as try_1 or sweep/try_1, without . and .. as a part; another place is runs_dir="
        )


def require_resume(resume: object) -> None:
    """Check that `resume=` is a word that it knows, or may be a folder: whether it is one is asked when it is opened.

    Raises:
        ConfigError: it is another word, or no text.
    """
    if resume in ("auto", "never") or (isinstance(resume, str) and resume and ("/" in resume or Path(resume).is_dir())):
        return
    raise ConfigError(
        f"resume: {json.dumps(resume)} is none of auto (goes on from the newest checkpoint, the default), never "
        "(begins anew) or a checkpoint's folder, such as runs/x/checkpoints/step_00000100"
    )


def move_aside(folder: Path) -> None:
    """Rename the folder of an earlier run to `<run_name>.N`, if there is one: resume=never keeps what it replaces."""
    if has_trained(folder):
        folder.rename(_free_name(folder))


def claim(folder: Path, tree: dict[str, Any], allow_change: list[str], saves: bool = True) -> bool:
    """Make the folder this run's own: write config.yaml, or compare the one in it.

    Where there are checkpoints nothing is refused here: the one that is taken is compared, with its data, versions and
    device besides, so that all that differs is told at once.

    Args:
        folder: runs/<run_name>. tree: the resolved config. allow_change: full keys or groups that may differ.
        saves: whether this run has checkpoints: with checkpoint=none there is none to compare with.
    Returns:
        Whether a key differs from the run's last config that is not free.
    Raises:
        RunExists: without a checkpoint, keys differ that are neither free nor allowed; shows all that differ.
    """
    saved = folder / CONFIG
    folder.mkdir(parents=True, exist_ok=True)
    if not (saved.exists() and has_trained(folder)):
        write_atomic(saved, config_yaml(tree))
        return False
    is_gated = bool(step_folders(folder / CHECKPOINTS)) and saves
    changes = compare(leaves(_config_in(saved)), leaves(tree), [] if is_gated else allow_change)
    if not is_gated and (told := refusal(changes, allow_change)):
        raise RunExists(f"run_name: {folder} holds a run with another config:\n{told}")
    return any(change.kind is not Class.FREE for change in changes)


def begin(folder: Path, tree: dict[str, Any]) -> None:
    """Write down that the run goes on: with this config, and no status until it ends.

    Args:
        folder: runs/<run_name>, claimed. tree: the resolved config; the keys that may differ are as they are now.
    """
    write_atomic(folder / CONFIG, config_yaml(tree))
    (folder / STATUS).unlink(missing_ok=True)


def _config_in(path: Path) -> dict[str, Any]:
    try:
        return read_config(path)
    except ConfigError as error:
        raise ConfigError(
            f"{error}\n{path} is damaged; restore it, or delete it: the same line writes it anew, and the run's "
            "checkpoints hold the settings that they are compared with"
        ) from error


@contextlib.contextmanager
def staying(folder: Path, step: Callable[[], int]) -> Iterator[None]:
    """Inside this block the run needs its folder.

    Args:
        folder: runs/<run_name>, begun. step: returns the finished steps.
    Raises:
        FolderVanished: a file was not found, and the folder isn't there any more.
    """
    try:
        yield
    except FileNotFoundError as error:
        if (folder / CONFIG).exists():
            raise
        raise FolderVanished(
            f"{folder}: the run's folder has vanished (step {step()}): was it deleted, moved, or its disk taken away? "
            "Put it back, and the same line goes on from its newest checkpoint; without it, it begins anew"
        ) from error


def has_trained(folder: Path) -> bool:
    """Return whether there is anything to lose: a start that failed leaves a config, and it is no run yet."""
    return (folder / METRICS).exists() or (folder / CHECKPOINTS).exists()


def write_status(folder: Path, status: Status, reason: str, step: int, marked: str = "") -> None:
    """Write status.json: how the run ended, why, and after which step.

    Args:
        marked: CRASH_LOOP or FINAL, where starting the same line again is of no use; neither says nothing of that.
    """
    told = {"status": status.value, "reason": without_secrets(reason), "step": step}
    write_json(folder / STATUS, told | ({marked: True} if marked else {}))


def is_crash_loop(folder: Path) -> bool:
    """Return whether the run was given up because it failed at the same step each time."""
    return CRASH_LOOP in read_status(folder)


def status_stamp(folder: Path) -> int | None:
    """Return what differs after every `write_status`; None while there is no status.json."""
    path = folder / STATUS
    return path.stat().st_mtime_ns if path.exists() else None


def _free_name(folder: Path) -> Path:
    number = 1
    while (moved := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    return moved
