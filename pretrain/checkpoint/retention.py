"""Which checkpoints stay, and how one that is not to be used is put out of the way: moved and reported, not deleted."""

from __future__ import annotations

import sys
from pathlib import Path

from foundation.text import visible
from pretrain.checkpoint.errors import CheckpointError
from pretrain.checkpoint.integrity import Manifest, read_manifest, remove, set_aside, step_folders, step_of
from pretrain.checkpoint.labels import Label, read_label
from pretrain.journal import SET_ASIDE
from pretrain.json_lines import JsonLines
from pretrain.run_files import CHECKPOINTS, JOURNAL

MIN_HEALTHY = 2  # never pruned: the newest may turn out to be useless


def prune(folder: Path, keep_last: int, keep_every_steps: int | None = None) -> None:
    """Delete the checkpoints in `folder` that no rule keeps.

    Kept are the last `keep_last`; the last two that can be resumed from, whether their label is still open or not; the
    last two labelled healthy, to which a run may go back; every one of a multiple of `keep_every_steps`; every one that
    ended a run. A disk that can't delete doesn't stop the run: it is said on the console.

    Args:
        folder: of the run's checkpoints.
        keep_last: at least 1.
        keep_every_steps: None for none.
    """
    folders = step_folders(folder)
    manifests = {path: manifest_of(path) for path in folders}
    labels = {path: read_label(path).label for path in folders}
    sound = [path for path in folders if (found := manifests[path]) and found.healthy and labels[path] is not Label.BAD]
    healthy = [path for path in sound if labels[path] is Label.HEALTHY]
    kept = {*folders[:keep_last], *sound[:MIN_HEALTHY], *healthy[:MIN_HEALTHY]}
    kept |= {path for path, manifest in manifests.items() if manifest and manifest.final}
    if keep_every_steps is not None:
        kept |= {path for path in folders if (step_of(path) or 0) % keep_every_steps == 0}
    try:
        for path in (path for path in folders if path not in kept):
            remove(path)
    except OSError as error:
        say(f"{folder}: old checkpoints can't be removed ({error}); remove them before the disk is full")


def manifest_of(folder: Path) -> Manifest | None:
    """Return its manifest; None where it isn't whole, as far as names and sizes tell."""
    try:
        return read_manifest(folder)
    except CheckpointError:
        return None


def set_all_aside(problems: list[tuple[Path, str]], loaded: Path, run_dir: Path) -> None:
    """Move checkpoints aside, and say so on the console and in the journal.

    Args:
        problems: folder and what is wrong with it.
        loaded: the one the run goes on from.
    Raises:
        OSError: the folder isn't writable.
    """
    for folder, problem in problems:
        moved = set_aside(folder)
        say(f"{problem}\n  moved to {moved.name} (yours to delete); {loaded.name} is taken instead")
        line = {"event": SET_ASIDE, "checkpoint": folder.name, "moved_to": moved.name}
        # without a step: it belongs to the folder, not to the timeline of steps
        line |= {"problem": problem, "resumed_from": loaded.name}
        JsonLines(run_dir / JOURNAL).append(line, durable=True)


def leave_later(loaded: Path, step: int, run_dir: Path) -> None:
    """Move aside this run's checkpoints after `step` when it was told to go back: a restart would go on from them.

    Args:
        loaded: the folder of the checkpoint it was told to take.
        step: of that one.
        run_dir: of the run.
    """
    folder = run_dir / CHECKPOINTS
    if loaded.resolve().parent != folder.resolve():
        return
    later = step_folders(folder, after=step)
    reason = f"later than {loaded.name}, from which the run was told to go on"
    set_all_aside([(path, f"{path}: {reason}") for path in later], loaded, run_dir)


def remove_later(folder: Path, step: int) -> None:
    """Delete the checkpoints in `folder` after `step`, the newest first.

    Raises:
        OSError: the folder isn't writable.
    """
    for path in step_folders(folder, after=step):
        remove(path)


def say(text: str) -> None:
    """Print for the user, on stderr; names in it may come from a file."""
    print(f"checkpoint: {visible(text)}", file=sys.stderr, flush=True)
