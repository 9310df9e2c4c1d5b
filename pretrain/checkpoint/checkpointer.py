"""Saves and restores checkpoints: when, where, how many are kept, which one a run resumes from."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from foundation.config.compose import read_config
from foundation.errors import ConfigError, require
from pretrain.checkpoint.afresh import OPTIMIZER, SPIKE, fitting
from pretrain.checkpoint.beside import Beside
from pretrain.checkpoint.changes import Change
from pretrain.checkpoint.description import require_same_tensors
from pretrain.checkpoint.environment import ENVIRONMENT, environment
from pretrain.checkpoint.errors import (
    CheckpointError,
    CheckpointMismatch,
    DamagedCheckpoint,
    ResumeRefused,
    UnhealthyCheckpoint,
)
from pretrain.checkpoint.gate import config_of, require_same_run
from pretrain.checkpoint.integrity import read_manifest, step_folders, step_of
from pretrain.checkpoint.labels import Label, Waiting, read_label, write_label
from pretrain.checkpoint.reading import (
    Opened,
    load_tensors,
    none_usable,
    open_checkpoint,
    open_named,
    verify_share,
)
from pretrain.checkpoint.retention import leave_later, prune, remove_later, say, set_all_aside
from pretrain.checkpoint.rules import Class
from pretrain.checkpoint.saving import RANDOM, Save, on_main, updates_of
from pretrain.checkpoint.state import FACTS, derive_random_states, read_facts, restore_random_states
from pretrain.checkpoint.way_back import find_way_back, unfit_for
from pretrain.heartbeat import Phase
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.run_files import CHECKPOINTS, CONFIG
from pretrain.seats import Checkpointer
from pretrain.types import Resumption, SavedAt, TrainState, WayBack

AUTO = "or type auto or never"  # in place of a folder
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

    def poll(self, num_updates: int) -> float | None:
        return None

    def way_back(self, wanted: WayBack, state: TrainState) -> SavedAt | None:
        return None

    def drop_later(self, step: int) -> None:
        pass

    def wait(self) -> None:
        pass

    def reject(self, num_updates: int, reason: str) -> None:
        pass

    def abandon(self) -> None:
        pass

    def close(self) -> None:
        pass


class DcpCheckpoint(Checkpointer):
    """Checkpoints in `<run_dir>/checkpoints/step_00000100/`, written by all ranks through torch.distributed.checkpoint.

    The step is held while the state is copied to host memory; the rest is done in a thread. Files are written beside
    the others under a hidden name, flushed, and become a checkpoint by one rename; after any crash there is the whole
    of it or nothing. One save is under way at a time: the next one waits for it.

    Args:
        every_steps: steps between two checkpoints; one more is written at the end.
        keep_last: checkpoints kept; the last two that can be resumed from, the last two labelled healthy, and one that
            ended a run stay in any case.
        mesh: the ranks.
        plan: gives the end.
        run_dir: a folder that all ranks see.
        keep_every_steps: checkpoints of steps that are multiples of it stay for ever; None for none.
        healthy_after_steps: accepted steps that must follow a checkpoint before it is labelled healthy; `every_steps`
            where that is less.
        asynchronous: False holds the step until the checkpoint is on disk, and takes no memory for a copy.
    Raises:
        SettingError: a number below 1.
    """

    saves = True

    def __init__(
        self,
        every_steps: int,
        keep_last: int,
        mesh: Mesh,
        plan: Plan,
        run_dir: Path,
        keep_every_steps: int | None = None,
        healthy_after_steps: int = 100,
        asynchronous: bool = True,
    ) -> None:
        for key, value in {"every_steps": every_steps, "keep_last": keep_last}.items():
            require(value >= 1, key, value, "1 or more; checkpoint=none saves nothing")
        require(healthy_after_steps >= 1, "healthy_after_steps", healthy_after_steps, "1 or more")
        allowed = "1 or more, or null to keep none for ever"
        require(keep_every_steps is None or keep_every_steps >= 1, "keep_every_steps", keep_every_steps, allowed)
        self._every_steps, self._keep_last, self._keep_every_steps = every_steps, keep_last, keep_every_steps
        self._healthy_after, self.beside = min(healthy_after_steps, every_steps), asynchronous
        self._mesh, self._max_steps, self._run_dir = mesh, plan.max_steps, run_dir
        self._folder = run_dir / CHECKPOINTS
        self._saved_step: int | None = None  # on disk, or on its way
        self._took_s: float | None = None  # of a save that the loop hasn't heard of yet
        self._beside = Beside(mesh)
        self._waiting = Waiting()  # on rank 0, which writes the labels

    def due(self, step: int) -> bool:
        return step > 0 and (step % self._every_steps == 0 or step == self._max_steps)

    def save(self, step: int, state: TrainState) -> None:
        """Save the state after `step` finished steps, together with the random states of every rank.

        Returns when the state may change again; `poll` and `wait` tell of the rest.

        Raises:
            SaveFailed: the disk is full or gone, with bytes needed and free; or the memory is too small for a copy. The
                earlier checkpoints are as they were. Also that of a save before.
            NotTensorsOnly: the state holds something that is neither tensor nor JSON.
        """
        if step == self._saved_step:
            return  # a signal at a step that was due: it is on disk already, or on its way
        if self._beside.under_way is not None:
            self._wait_for_the_one_before(step)
            self._label_followed(updates_of(state.facts, step))  # where each lasts until the next no other moment comes
        save = Save(self._mesh, self._folder, step, step == self._max_steps, state)
        if not self.beside:
            save.prepare()
            self._write(save)
            self._is_saved(save)
            return
        self._beside.start(save, state.tensors, self._write)
        self._saved_step = step

    def _write(self, save: Save, staged: dict[str, Tensor] | None = None, group: Any = None) -> None:
        save.write(staged, group)
        if self._mesh.is_main:
            prune(self._folder, self._keep_last, self._keep_every_steps)

    def _wait_for_the_one_before(self, step: int) -> None:
        before, is_waited_for, started_s = self._beside.under_way, not self._beside.ended, time.perf_counter()
        self.wait()
        if self._mesh.is_main and before and is_waited_for:
            say(
                f"step {step} waited {time.perf_counter() - started_s:.1f} s for the checkpoint of step {before.step}, "
                f"which took {before.took_s:.1f} s; raise checkpoint.every_steps to wait less"
            )

    def poll(self, num_updates: int) -> float | None:
        if self._beside.under_way is not None and self._beside.ended_everywhere():
            self.wait()
        self._label_followed(num_updates)
        self._took_s, took_s = None, self._took_s
        return took_s

    def wait(self) -> None:
        if self._beside.under_way is not None:
            self._saved_step = None  # until it is known to stand
            self._is_saved(self._beside.join())

    def _is_saved(self, save: Save) -> None:
        self._saved_step, self._took_s = save.step, save.took_s
        if self._mesh.is_main and save.healthy:  # the others were labelled bad as they were written
            self._waiting.add(save.path, save.num_updates)

    def reject(self, num_updates: int, reason: str) -> None:
        self.wait()
        if self._mesh.is_main:
            for folder in self._waiting.unfollowed(num_updates):
                first = read_label(folder).reason or reason  # of one that was bad when it was taken
                say(f"{folder}: labelled bad: {first}")
                self._label(folder, Label.BAD, first)

    def _label_followed(self, num_updates: int) -> None:
        if self._mesh.is_main and self._beside.under_way is None:  # one under way may be pruning: labels wait
            for folder in self._waiting.followed(num_updates, self._healthy_after):
                self._label(folder, Label.HEALTHY)

    def _label(self, folder: Path, label: Label, reason: str = "") -> None:
        if not folder.is_dir():
            return  # pruned by now
        try:
            write_label(folder, label, reason)
        except OSError as error:  # an opinion less: no reason to end the run
            say(f"{folder}: can't be labelled {label.value} ({error})")

    def way_back(self, wanted: WayBack, state: TrainState) -> SavedAt | None:
        self.wait()
        alive = partial(self._mesh.heartbeat.at, Phase.STARTING)
        accepted = self._mesh.on_main(lambda: self._accepted())
        unfit = partial(unfit_for, state, self._mesh.world_size, accepted)
        folder = find_way_back(self._folder, wanted, self._mesh, self._run_dir, unfit, alive)
        if folder is None:
            return None
        return SavedAt(step_of(folder) or 0, int(open_checkpoint(folder).facts["data_step"]), str(folder))

    def drop_later(self, step: int) -> None:
        self.wait()
        on_main(self._mesh, partial(remove_later, self._folder, step))

    def abandon(self) -> None:
        self._beside.abandon()

    def close(self) -> None:
        try:
            self.wait()
        finally:
            self._beside.close()

    def load(self, state: TrainState, path: str | None = None) -> bool:
        """Fill `state` and this process's random states; nothing is touched before every byte was verified.

        Without `path` the newest checkpoint is taken; one that is damaged, holds NaN or is labelled bad is moved aside,
        said on the console and in journal.jsonl, and the one before it is taken. Where none is left but some that the
        guard labelled bad, the newest of these is, and it is said. With a `path` in this run the later ones are moved
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
        self.wait()
        if self._mesh.is_main:  # a run begins with a load: the code is what it is now, it may be edited later
            environment(self._mesh, config_of(state.facts))
        if path is not None:
            self._load_named(Path(path), state)
            return True
        found = self._mesh.broadcast_json(self._listing() if self._mesh.is_main else None)
        listing = [(self._folder / name, bad) for name, bad in found]
        problems: list[tuple[Path, str]] = []
        for folder, bad in sorted(listing, key=lambda entry: entry[1] is not None):  # those labelled bad come last
            try:
                self._load_one(folder, state, partial(open_checkpoint, folder))
            except (DamagedCheckpoint, UnhealthyCheckpoint) as error:
                problems.append((folder, str(error)))
                continue
            later = [] if bad is not None else listing[: listing.index((folder, bad))]
            problems += [(path, f"{path}: labelled bad: {why}") for path, why in later if why is not None]
            on_main(self._mesh, partial(set_all_aside, problems, folder, self._run_dir))
            self._is_loaded(folder, "no other can be used")
            return True
        if problems:
            raise none_usable(self._folder, [problem for _, problem in problems])
        return False

    def _listing(self) -> list[tuple[str, str | None]]:
        """Return the checkpoints' names, the newest first; beside each why it is labelled bad, where it is."""
        found = ((folder.name, read_label(folder)) for folder in step_folders(self._folder))
        return [(name, labelled.reason if labelled.label is Label.BAD else None) for name, labelled in found]

    def _load_named(self, folder: Path, state: TrainState) -> None:
        try:
            opened = self._load_one(folder, state, lambda: open_named("resume", folder, self._run_dir, AUTO))
        except DamagedCheckpoint as error:
            raise DamagedCheckpoint(
                f"{error}; name another checkpoint, or take the newest healthy one with resume=auto"
            ) from error
        on_main(self._mesh, lambda: leave_later(opened.folder, opened.manifest.step, self._run_dir))
        self._is_loaded(folder, "it was asked for")

    def _is_loaded(self, folder: Path, why_bad: str) -> None:
        """Say so, and take in what waits for its label on this timeline.

        Args:
            why_bad: why it is taken though it is labelled bad, if it is.
        """
        if not self._mesh.is_main:
            return
        is_own = self._is_own(folder)
        found = read_label(folder)
        if found.label is Label.BAD:
            say(f"{folder}: labelled bad: {found.reason}; taken all the same, {why_bad}")
            if is_own:
                self._label(folder, Label.PENDING, found.reason)
        say(f"going on from {folder}")
        self._waiting.clear()
        for path in step_folders(self._folder) if is_own else []:
            if read_label(path).label is Label.PENDING and (step_of(path) or 0) <= (step_of(folder) or 0):
                with contextlib.suppress(CheckpointError):  # damaged: nobody will go back to it
                    if not (manifest := read_manifest(path)).healthy:
                        continue
                    self._waiting.add(path, updates_of(read_facts(path, manifest, FACTS), manifest.step))

    def _load_one(self, folder: Path, state: TrainState, opens: Callable[[], Opened]) -> Opened:
        rank, world_size = self._mesh.rank, self._mesh.world_size
        alive = partial(self._mesh.heartbeat.at, Phase.STARTING)
        opened = self._together(DamagedCheckpoint, opens)
        ranks = (opened.manifest.world_size, world_size)
        now = state.facts | {ENVIRONMENT: self._mesh.on_main(lambda: environment(self._mesh, config_of(state.facts)))}
        accepted = self._mesh.on_main(lambda: self._accepted(folder))
        changes = self._changes(lambda: require_same_run(folder, opened.facts, now, ranks, accepted))
        fits = fitting(opened, state, any(change.key.startswith(f"{OPTIMIZER}.") for change in changes))
        opened, tensors = fits.opened, fits.tensors
        if SPIKE in fits.afresh and self._mesh.is_main:
            say(f"{folder}: saved with another guard (spike), whose state is left there; this run's begins anew")
        self._together(CheckpointMismatch, lambda: require_same_tensors(folder, opened.metadata, tensors))
        self._together(DamagedCheckpoint, lambda: verify_share(opened, rank, world_size, alive))
        self._together(DamagedCheckpoint, lambda: self._restore_random(opened))
        load_tensors(opened, tensors, between=alive)
        state.facts = opened.facts
        self.resumption = Resumption(opened.manifest.step, tuple(changes), fits.afresh)
        self._saved_step = opened.manifest.step if self._is_own(folder) else None
        return opened

    def _changes(self, compared: Callable[[], list[Change]]) -> list[Change]:
        """Return on every rank what rank 0 finds: an infinite setting comes to the others as null."""
        found = self._together(ResumeRefused, lambda: compared() if self._mesh.is_main else [])
        told = self._mesh.broadcast_json([asdict(change) | {"kind": change.kind.value} for change in found])
        return [Change(**(each | {"kind": Class(each["kind"])})) for each in told]

    def _accepted(self, folder: Path | None = None) -> dict[str, Any] | None:
        """Return the config that this run last went on with; None where the checkpoint is another run's."""
        config = self._run_dir / CONFIG
        return read_config(config) if (folder is None or self._is_own(folder)) and config.exists() else None

    def _is_own(self, folder: Path) -> bool:
        return folder.parent.resolve() == self._folder.resolve()

    def _restore_random(self, opened: Opened) -> None:
        """Set this rank's random states; of another world size they are derived from rank 0's."""
        rank, world_size = self._mesh.rank, self._mesh.world_size
        if opened.manifest.world_size == world_size:
            restore_random_states(opened.rank_facts(rank).get(RANDOM, {}), self._mesh.device)
        else:
            derive_random_states(opened.rank_facts(0).get(RANDOM, {}), rank, world_size)

    def _together(self, error_type: type[CheckpointError], action: Callable[[], Result]) -> Result:
        """Do something on every rank. Where it fails on one, it fails on all: there with its words, as `error_type`."""
        failed: CheckpointError | None = None
        try:
            result = action()
        except CheckpointError as error:
            failed = error
        first = self._mesh.first(None if failed is None else str(failed))
        if first is None:
            return result
        raise failed or error_type(f"rank {first[0]}: {first[1]}")
