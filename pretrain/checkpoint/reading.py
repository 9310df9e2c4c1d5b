"""Reading checkpoints: open one, load tensors from it, find the newest of a run. Works with one process or many."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.state_dict_loader import load

from pretrain.checkpoint.description import read_description, require_same_tensors
from pretrain.checkpoint.errors import CheckpointError, UnhealthyCheckpoint
from pretrain.checkpoint.integrity import MANIFEST, Manifest, read_manifest, step_folders, step_of, verify_file
from pretrain.checkpoint.labels import Label, read_label
from pretrain.checkpoint.state import FACTS, rank_facts_name, read_facts
from pretrain.checkpoint.store import Reader
from pretrain.run_files import CHECKPOINTS
from pretrain.seats import nothing

_SHOWN_NAMES = 5
_EXAMPLE = "a folder such as runs/x/checkpoints/step_00000100"


@dataclass(frozen=True, slots=True)
class Opened:
    """A checkpoint whose listing, description and facts were verified; its tensors are verified when they are read."""

    folder: Path
    manifest: Manifest
    metadata: Metadata
    facts: dict[str, Any]

    def rank_facts(self, rank: int) -> dict[str, Any]:
        """Return what the rank `rank` of those that saved it had of its own."""
        return read_facts(self.folder, self.manifest, rank_facts_name(rank))


def open_checkpoint(folder: Path) -> Opened:
    """Open a checkpoint for reading.

    Raises:
        DamagedCheckpoint: the manifest, the listing, the description or the facts aren't what was saved.
        UnhealthyCheckpoint: its tensors held NaN or infinity when it was saved.
        NewerCheckpoint: its format is newer than this version.
    """
    manifest = read_manifest(folder)
    opened = Opened(folder, manifest, read_description(folder, manifest), read_facts(folder, manifest, FACTS))
    if not manifest.healthy:
        raise UnhealthyCheckpoint(f"{folder}: {manifest.problem}; use an earlier checkpoint")
    return opened


def open_named(key: str, folder: Path, run_dir: Path, otherwise: str) -> Opened:
    """Open the checkpoint that a setting names.

    Args:
        key: the setting.
        folder: what it names.
        run_dir: the run's, whose checkpoints are listed where none is near `folder`.
        otherwise: what else can be done, for the message.
    Raises:
        CheckpointError: it is none; lists those that are there. As `open_checkpoint`.
    """
    if (folder / MANIFEST).exists() or (folder.is_dir() and step_of(folder) is not None):
        return open_checkpoint(folder)
    near = (folder, folder / CHECKPOINTS, folder.parent, run_dir / CHECKPOINTS)
    there = next((steps for place in near if (steps := step_folders(place))), [])
    found = "is no checkpoint" if folder.exists() else "is not there; a run keeps its newest checkpoint.keep_last"
    listed = ", ".join(map(str, there[:_SHOWN_NAMES])) + (", ..." if len(there) > _SHOWN_NAMES else "")
    raise CheckpointError(f"{key}: {folder} {found}; name {f'one of {listed}' if there else _EXAMPLE}, {otherwise}")


def verify_share(opened: Opened, rank: int, world_size: int, between: Callable[[], None] | None = None) -> None:
    """Verify every byte of this rank's share of the files; all ranks together verify all of them.

    Args:
        opened: what open_checkpoint returned. rank, world_size: which share, of how many.
        between: called after each 16 MiB: a sign of life where a disk is slow.
    Raises:
        DamagedCheckpoint: a byte differs or can't be read; names the file.
    """
    files = opened.manifest.files
    by_size = sorted(files, key=lambda name: (-files[name].size_bytes, name))  # dealt by name, a rank may get no .bin
    for name in by_size[rank::world_size]:
        verify_file(opened.folder, opened.manifest, name, between)


def load_tensors(
    opened: Opened, tensors: dict[str, Tensor], prefix: str = "", between: Callable[[], None] = nothing
) -> None:
    """Copy the checkpoint's tensors into the live ones, in place. With a process group: called on every rank.

    Each byte is verified before it is used. After an error the live tensors hold anything.

    Args:
        opened: what open_checkpoint returned.
        tensors: name -> live tensor, of every name in the checkpoint that begins with `prefix`.
        prefix: e.g. `model.` for the weights alone.
        between: called after each tensor.
    Raises:
        CheckpointMismatch: names, shapes or dtypes differ. DamagedCheckpoint: a byte isn't what was saved.
    """
    wanted = {name: entry for name, entry in opened.metadata.state_dict_metadata.items() if name.startswith(prefix)}
    metadata = Metadata(wanted, storage_data=opened.metadata.storage_data)
    require_same_tensors(opened.folder, metadata, tensors)
    planner = DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    with plain_errors():
        load(dict(tensors), storage_reader=Reader(opened.folder, opened.manifest, metadata, between), planner=planner)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Around a call of DCP: every rank raises the error of the lowest rank that failed; a warning is silenced.

    DCP gathers the ranks' errors into one of its own with their tracebacks as text; it also warns that without a
    process group it works in one process, which is meant.
    """
    # not restored after: a save's thread would restore what another one has changed meanwhile
    warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")
    try:
        yield
    except CheckpointException as error:
        rank, (cause, _) = min(error.failures.items(), key=lambda entry: entry[0])
        cause.add_note(f"on rank {rank}")
        raise cause from None


def newest_checkpoint(run_dir: Path) -> Opened:
    """Open the newest whole and healthy checkpoint of a run, e.g. to generate from it; the run folder isn't touched.

    One that the guard labelled bad is taken where there is no other.

    Raises:
        CheckpointError: there is none; says what is wrong with each that was found.
    """
    problems = []
    for folder in sorted(step_folders(run_dir / CHECKPOINTS), key=lambda path: read_label(path).label is Label.BAD):
        try:
            opened = open_checkpoint(folder)
            verify_share(opened, rank=0, world_size=1)
            return opened
        except CheckpointError as error:
            problems.append(str(error))
    raise none_usable(run_dir / CHECKPOINTS, problems)


def none_usable(folder: Path, problems: list[str]) -> CheckpointError:
    """Return the error for a folder without a checkpoint to use."""
    if not problems:
        return CheckpointError(f"{folder}: no checkpoint here; train first, or name another run")
    listed = "\n  ".join(problems)
    return CheckpointError(
        f"{folder}: no checkpoint can be used:\n  {listed}\nrestore one from a backup, or start anew with resume=never"
    )
