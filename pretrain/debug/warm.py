"""Weights of a checkpoint for a look at the run that goes on from it: nothing on disk is moved or written."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from pretrain.checkpoint.afresh import OPTIMIZER, fitting
from pretrain.checkpoint.gate import require_same_run
from pretrain.checkpoint.integrity import step_folders
from pretrain.checkpoint.reading import Opened, load_tensors, newest_checkpoint, open_named, verify_share
from pretrain.run import Run, state_of
from pretrain.run_files import CHECKPOINTS


def read_checkpoint(run: Run, run_dir: Path, resume: str) -> dict[str, Any] | None:
    """Fill the run from the checkpoint that training would go on from; called on every rank.

    Args:
        run: assembled. run_dir: runs/<run_name>. resume: the config's.
    Returns:
        The metrics line of the step it was saved after; None where the run begins with fresh weights.
    Raises:
        CheckpointError: there is one, but none that can be used. ResumeRefused: it is another run's.
    """
    opened = to_go_on_from(run_dir, resume) if run.checkpointer.saves else None
    if opened is None:
        return None
    state = state_of(run)
    ranks = (opened.manifest.world_size, run.mesh.world_size)
    changes = require_same_run(opened.folder, opened.facts, state.facts, ranks)
    fits = fitting(opened, state, any(change.key.startswith(f"{OPTIMIZER}.") for change in changes))
    verify_share(fits.opened, run.mesh.rank, run.mesh.world_size)
    load_tensors(fits.opened, fits.tensors)
    for field in fields(run.progress):
        setattr(run.progress, field.name, int(opened.facts[field.name]))
    return dict(opened.facts["line"])


def to_go_on_from(run_dir: Path, resume: str) -> Opened | None:
    """Return the checkpoint that `resume=` means, opened; None where it means none."""
    if resume not in ("auto", "never"):
        return open_named("resume", Path(resume), run_dir, "or type auto or never")
    if resume == "never" or not step_folders(run_dir / CHECKPOINTS):
        return None
    return newest_checkpoint(run_dir)
