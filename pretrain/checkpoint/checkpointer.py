"""Saves and restores checkpoints: when, where, how many are kept, which one a run resumes from."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.state_dict_saver import save

from foundation.errors import ConfigError, require
from foundation.files import pretty_json
from foundation.progress import human
from pretrain.checkpoint.afresh import OPTIMIZER, SPIKE, fitting
from pretrain.checkpoint.description import METADATA, require_same_tensors
from pretrain.checkpoint.errors import (
    CheckpointError,
    CheckpointMismatch,
    DamagedCheckpoint,
    ResumeRefused,
    SaveFailed,
    UnhealthyCheckpoint,
)
from pretrain.checkpoint.gate import require_same_run
from pretrain.checkpoint.integrity import (
    Manifest,
    commit,
    folder_name,
    remove_leftovers,
    step_folders,
    write_file,
)
from pretrain.checkpoint.reading import (
    Opened,
    load_tensors,
    none_usable,
    open_checkpoint,
    open_named,
    plain_errors,
    verify_share,
)
from pretrain.checkpoint.retention import leave_later, prune, say, set_all_aside
from pretrain.checkpoint.state import FACTS, derive_random_states, encode, random_states, restore_random_states
from pretrain.checkpoint.store import Writer
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.run_files import CHECKPOINTS
from pretrain.seats import Checkpointer, Resumption
from pretrain.types import TrainState

RANDOM = "random"  # the key of a rank's facts that this room adds
JSON_BYTES = 1 << 20  # room that a save asks for besides the tensors
AUTO = "or type auto or never"  # in place of a folder
LARGE_BYTES = 10**9  # from here on a save takes long enough to be said before it is done
Result = TypeVar("Result")


class NoCheckpoint(Checkpointer):
    """Saves nothing and finds nothing: a stopped run is lost."""

    saves = False

    def due(self, step: int) -> bool:
        return False

    def save(self, step: int, state: TrainState) -> None:
        pass

    def load(self, state: TrainState, path: str | None = None) -> bool:
        if path is not None:
            raise ConfigError(f"resume: {path} can't be loaded with checkpoint=none; choose checkpoint=default")
        return False


class DcpCheckpoint(Checkpointer):
    """Checkpoints in `<run_dir>/checkpoints/step_00000100/`, written by all ranks through torch.distributed.checkpoint.

    A save is synchronous. Its files are written beside the others under a hidden name, flushed, and become a
    checkpoint by one rename; after any crash there is the whole of it or nothing.

    Args:
        every_steps: steps between two checkpoints; one more is written at the end.
        keep_last: checkpoints kept; the last two healthy ones stay in any case.
        mesh: the ranks.
        plan: gives the end.
        run_dir: a folder that all ranks see.
    Raises:
        SettingError: a number below 1.
    """

    saves = True

    def __init__(self, every_steps: int, keep_last: int, mesh: Mesh, plan: Plan, run_dir: Path) -> None:
        for key, value in {"every_steps": every_steps, "keep_last": keep_last}.items():
            require(value >= 1, key, value, "1 or more; checkpoint=none saves nothing")
        self._every_steps, self._keep_last = every_steps, keep_last
        self._mesh, self._max_steps, self._run_dir = mesh, plan.max_steps, run_dir
        self._folder = run_dir / CHECKPOINTS
        self._saved_step: int | None = None
        self.resumption = None

    def due(self, step: int) -> bool:
        return step > 0 and (step % self._every_steps == 0 or step == self._max_steps)

    def save(self, step: int, state: TrainState) -> None:
        """Write the checkpoint after `step` finished steps, together with the random states of every rank.

        Raises:
            SaveFailed: the disk is full or gone, with bytes needed and free; the earlier checkpoints are as they were.
            NotTensorsOnly: the state holds something that is neither tensor nor JSON.
        """
        if step == self._saved_step:
            return  # a signal at a step that was due: it is on disk already
        final, temporary = self._folder / folder_name(step), self._folder / f".{folder_name(step)}.saving"
        facts = encode(state.facts, "facts")
        rank_facts = encode({RANDOM: random_states(self._mesh.device)}, "rank_facts")
        writer = Writer(temporary, self._mesh.rank, rank_facts)
        size_bytes = sum(tensor.numel() * tensor.element_size() for tensor in state.tensors.values())
        needed_bytes, started_s = size_bytes + JSON_BYTES, time.perf_counter()
        if self._mesh.is_main and size_bytes >= LARGE_BYTES:
            say(f"{final}: saving {human(size_bytes, 'B')}")
        try:
            self._on_main(lambda: self._prepare(temporary, needed_bytes))
            _write(writer, state.tensors)
            self._on_main(lambda: self._commit(writer, step, facts, temporary, final))
        except OSError as error:
            raise self._save_failed(step, needed_bytes, error) from error
        finally:
            if self._mesh.is_main:  # here no rank writes any more: all have reported
                shutil.rmtree(temporary, ignore_errors=True)
        self._saved_step = step
        if self._mesh.is_main:
            say(f"{final}: {human(size_bytes, 'B')} saved in {time.perf_counter() - started_s:.1f} s")
            prune(self._folder, self._keep_last)

    def _prepare(self, temporary: Path, needed_bytes: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self._folder)
        if shutil.disk_usage(self._folder).free < needed_bytes:
            raise OSError("the disk has no room for it")
        temporary.mkdir()

    def _commit(self, writer: Writer, step: int, facts: bytes, temporary: Path, final: Path) -> None:
        files = dict(writer.files)
        files[METADATA] = write_file(temporary / METADATA, pretty_json(writer.metadata))
        files[FACTS] = write_file(temporary / FACTS, facts)
        commit(temporary, final, Manifest(step, self._mesh.world_size, writer.not_finite, files))
        if writer.not_finite:
            names = ", ".join(writer.not_finite[:5])
            say(f"{final}: holds NaN or infinity ({names}); it is kept for inspection and never resumed from")

    def _save_failed(self, step: int, needed_bytes: int, error: OSError) -> SaveFailed:
        place = self._folder if self._folder.exists() else self._run_dir
        free_bytes = shutil.disk_usage(place).free if place.exists() else 0
        return SaveFailed(
            f"{self._folder}: the checkpoint of step {step} could not be saved ({error}); it needs {needed_bytes} "
            f"bytes, {free_bytes} are free; earlier checkpoints are as they were. Free space, lower "
            "checkpoint.keep_last, or set runs_dir to a larger disk that all ranks see"
        )

    def load(self, state: TrainState, path: str | None = None) -> bool:
        """Fill `state` and this process's random states; nothing is touched before every byte was verified.

        Without `path` the newest checkpoint is taken; one that is damaged or holds NaN is moved aside, said on the
        console and in journal.jsonl, and the one before it is taken. With a `path` in this run the later ones are moved
        aside, or the next restart would go on from them.

        Args:
            state: its tensors are filled in place, its facts replaced; `facts["gate"]` is compared with what was saved.
            path: a checkpoint's folder; None for the newest healthy one of this run.
        Raises:
            DamagedCheckpoint, UnhealthyCheckpoint: the one at `path` is.
            CheckpointError: there are some, but none can be used: a run is never silently begun anew.
            ResumeRefused, CheckpointMismatch: it is another run's or another model's. One of another guard is none:
                the live guard keeps its tensors and facts, and this is said.
        """
        if path is not None:
            self._load_named(Path(path), state)
            return True
        names = self._mesh.broadcast_json([folder.name for folder in step_folders(self._folder)])
        problems: list[tuple[Path, str]] = []
        for folder in (self._folder / name for name in names):
            try:
                self._load_one(folder, state, partial(open_checkpoint, folder))
            except (DamagedCheckpoint, UnhealthyCheckpoint) as error:
                problems.append((folder, str(error)))
                continue
            self._on_main(partial(set_all_aside, problems, folder, self._run_dir))
            self._say_loaded(folder)
            return True
        if problems:
            raise none_usable(self._folder, [problem for _, problem in problems])
        return False

    def _load_named(self, folder: Path, state: TrainState) -> None:
        try:
            opened = self._load_one(folder, state, lambda: open_named("resume", folder, self._run_dir, AUTO))
        except DamagedCheckpoint as error:
            raise DamagedCheckpoint(
                f"{error}; name another checkpoint, or take the newest healthy one with resume=auto"
            ) from error
        self._on_main(lambda: leave_later(opened.folder, opened.manifest.step, self._run_dir))
        self._say_loaded(folder)

    def _say_loaded(self, folder: Path) -> None:
        if self._mesh.is_main:
            say(f"going on from {folder}")

    def _load_one(self, folder: Path, state: TrainState, opens: Callable[[], Opened]) -> Opened:
        rank, world_size = self._mesh.rank, self._mesh.world_size
        opened = self._together(DamagedCheckpoint, opens)
        ranks = (opened.manifest.world_size, world_size)
        changes = self._together(ResumeRefused, lambda: require_same_run(folder, opened.facts, state.facts, ranks))
        fits = fitting(opened, state, any(change.key.startswith(f"{OPTIMIZER}.") for change in changes))
        opened, tensors = fits.opened, fits.tensors
        if SPIKE in fits.afresh and self._mesh.is_main:
            say(f"{folder}: saved with another guard (spike), whose state is left there; this run's begins anew")
        self._together(CheckpointMismatch, lambda: require_same_tensors(folder, opened.metadata, tensors))
        self._together(DamagedCheckpoint, lambda: verify_share(opened, rank, world_size))
        self._together(DamagedCheckpoint, lambda: self._restore_random(opened))
        load_tensors(opened, tensors)
        state.facts = opened.facts
        self.resumption = Resumption(opened.manifest.step, tuple(changes), fits.afresh)
        self._saved_step = opened.manifest.step if folder.parent.resolve() == self._folder.resolve() else None
        return opened

    def _restore_random(self, opened: Opened) -> None:
        """Set this rank's random states; of another world size they are derived from rank 0's."""
        rank, world_size = self._mesh.rank, self._mesh.world_size
        if opened.manifest.world_size == world_size:
            restore_random_states(opened.rank_facts(rank).get(RANDOM, {}), self._mesh.device)
        else:
            derive_random_states(opened.rank_facts(0).get(RANDOM, {}), rank, world_size)

    def _on_main(self, action: Callable[[], None]) -> None:
        """Do something on rank 0; its OSError is raised on every rank."""
        problem: str | None = None
        if self._mesh.is_main:
            try:
                action()
            except OSError as error:
                problem = str(error)
        if (problem := self._mesh.broadcast_json(problem)) is not None:
            raise OSError(problem)

    def _together(self, error_type: type[CheckpointError], action: Callable[[], Result]) -> Result:
        """Do something on every rank. Where it fails on one, it fails on all: elsewhere with an `error_type`."""
        failed: CheckpointError | None = None
        try:
            result = action()
        except CheckpointError as error:
            failed = error
        if not self._mesh.any(failed is not None):
            return result
        if failed and not self._mesh.is_main:
            say(f"rank {self._mesh.rank}: {failed}")
        raise failed or error_type("another rank can't use this checkpoint; its own message says why")


def _write(writer: Writer, tensors: dict[str, Tensor]) -> None:
    planner = DefaultSavePlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    with plain_errors():
        save(dict(tensors), storage_writer=writer, planner=planner)
