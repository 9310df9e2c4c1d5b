"""Whether the run's checkpoints have room on the disk that they are written to."""

from __future__ import annotations

import shutil
from pathlib import Path

from foundation.progress import human
from pretrain.checkpoint.gate import CONFIG
from pretrain.checkpoint.room import bytes_needed
from pretrain.checkpoint.staging import state_bytes
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning
from pretrain.run import Run, state_of

LEAST_KEPT = 2  # the last two healthy ones are never pruned
BESIDE = 1  # the new one stands before an old one goes


class Room(Rung):
    """Bytes of a checkpoint, how many are kept, and what is free."""

    name = "disk"
    is_of_all = True

    def check(self, subject: Subject) -> Finding:
        run = subject.run
        if not run.checkpointer.saves:
            told = "a run that is stopped can't go on, and its weights are lost; choose checkpoint=default to keep them"
            return self.found("nothing is saved", [warning(told)])
        tensors, kept = state_of(run).tensors, num_kept(run)
        one = state_bytes(tensors)
        place = nearest_folder(subject.run_dir)
        free = shutil.disk_usage(place).free
        figure = (
            f"{human(one, 'B')} of tensors a checkpoint, up to {kept:,} at a time, {human(one * kept, 'B')}; "
            f"{human(free, 'B')} are free"
        )
        # with what a save asks for besides, before it begins: margins for tables and sums, which it seldom fills
        return self.found(figure, judged(bytes_needed(tensors, run.mesh.world_size), kept, free, place))


def num_kept(run: Run) -> int:
    """Return how many checkpoints there may be at once, by what the config says of `checkpoint`."""
    options = dict(run.gate.get(CONFIG, {}).get("checkpoint", {}))
    total = run.plan.max_steps
    every = options.get("every_steps") or total
    forever = options.get("keep_every_steps")
    kept = max(int(options.get("keep_last") or LEAST_KEPT), LEAST_KEPT) + BESIDE
    return min(kept + (total // int(forever) if forever else 0), max(-(-total // int(every)), 1))


def nearest_folder(path: Path) -> Path:
    """Return the path, or the nearest folder above it that is there."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())


def judged(one: int, kept: int, free: int, place: Path) -> list[Problem]:
    """Return what is wrong with the room.

    Args:
        one: bytes that must be free for a checkpoint. kept: of them at a time. free: bytes at `place`.
    """
    if free >= one * kept:
        return []
    mend = f"make room at {place}, write elsewhere with runs_dir=, or keep fewer with checkpoint.keep_last="
    if free < one:
        return [stop(f"there is no room even for the first: {mend}")]
    return [warning(f"{human(one * kept - free, 'B')} are lacking for all that are kept: {mend}")]
