"""The checkpoint that a run goes back to when its weights have gone wrong since."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pretrain.checkpoint.afresh import fitting
from pretrain.checkpoint.errors import CheckpointError, ResumeRefused
from pretrain.checkpoint.gate import require_same_run
from pretrain.checkpoint.integrity import step_folders, step_of
from pretrain.checkpoint.labels import Label, read_label
from pretrain.checkpoint.reading import Opened, open_checkpoint, verify_share
from pretrain.checkpoint.retention import manifest_of, say, set_all_aside
from pretrain.checkpoint.saving import on_main
from pretrain.mesh import Mesh
from pretrain.types import TrainState, WayBack


def find_way_back(
    folder: Path,
    wanted: WayBack,
    mesh: Mesh,
    run_dir: Path,
    unfit: Callable[[Opened], str],
    between: Callable[[], None],
) -> Path | None:
    """Return a checkpoint labelled healthy, every byte of it verified; the same on every rank, None without one.

    Args:
        folder: of the run's checkpoints.
        wanted: how old it is to be.
        run_dir: whose journal tells which were damaged and set aside.
        unfit: says why the live run can't take one up, or nothing: such a one is passed over, and stays.
        between: called now and then: verifying may take minutes.
    """
    problems: list[tuple[Path, str]] = []
    found = None
    for name in mesh.broadcast_json(_names(folder, wanted) if mesh.is_main else None):
        if unfit_here := mesh.first(_unfit(folder / name, unfit)):
            if mesh.is_main:
                say(f"{folder / name}: not gone back to: {unfit_here[1]}")
            continue
        problem = mesh.first(_problem(folder / name, mesh, between))
        if problem is None:
            found = folder / name
            break
        problems.append((folder / name, problem[1]))
    if found is not None:
        on_main(mesh, partial(set_all_aside, problems, found, run_dir))
    return found


def _names(folder: Path, wanted: WayBack) -> list[str]:
    """Return the names of those that will do, the best first."""
    steps = {step: path for path in step_folders(folder) if (step := step_of(path) or 0) < wanted.onset_step}
    healthy = [step for step, path in sorted(steps.items()) if _is_healthy(path)]
    far = [step for step in healthy if step <= wanted.onset_step - wanted.before_steps]
    near = [step for step in healthy if step not in far]
    return [steps[step].name for step in [*reversed(far), *near]]


def _is_healthy(path: Path) -> bool:
    manifest = manifest_of(path)
    return read_label(path).label is Label.HEALTHY and manifest is not None and manifest.healthy


def unfit_for(state: TrainState, ranks: int, accepted: dict[str, Any] | None, opened: Opened) -> str:
    """Return why a live run can't take up a checkpoint of its own whole, in words; nothing where it can.

    A run that starts may take up a part, and begins the rest anew. One that goes back would keep that rest as it is
    now, which belongs to no step there.

    Args:
        state: of the live run.
        ranks: of the live run.
        accepted: the config that the run last went on with.
    """
    try:
        require_same_run(opened.folder, opened.facts, state.facts, (opened.manifest.world_size, ranks), accepted)
    except ResumeRefused as error:
        return f"it was saved with other settings\n{str(error).partition(chr(10))[2]}"
    afresh = fitting(opened, state, another_optimizer=True).afresh
    told = "; ".join(text for group in afresh.values() for text in group)
    return f"it was saved with other settings: {told}" if told else ""


def _unfit(folder: Path, unfit: Callable[[Opened], str]) -> str | None:
    try:
        return unfit(open_checkpoint(folder)) or None
    except CheckpointError:
        return None  # damaged: that is found, and told, next


def _problem(folder: Path, mesh: Mesh, between: Callable[[], None]) -> str | None:
    """Return what is wrong with this rank's share of a checkpoint, if anything is."""
    try:
        verify_share(open_checkpoint(folder), mesh.rank, mesh.world_size, between)
    except CheckpointError as error:
        return str(error)
    return None
