"""One checkpoint on its way to the disk: room and folder first, then files and commit, here or in a thread."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.state_dict_saver import save

from foundation.files import pretty_json
from foundation.progress import human
from pretrain.checkpoint.description import METADATA, require_tensors
from pretrain.checkpoint.environment import ENVIRONMENT, environment
from pretrain.checkpoint.errors import NoRoom, SaveFailed, SaveGivenUp
from pretrain.checkpoint.gate import config_of
from pretrain.checkpoint.integrity import Manifest, commit, folder_name, remove_leftovers, write_file
from pretrain.checkpoint.labels import LABEL, Label, label_json
from pretrain.checkpoint.reading import plain_errors
from pretrain.checkpoint.retention import say
from pretrain.checkpoint.room import bytes_needed, require_room
from pretrain.checkpoint.staging import StagedPlanner, state_bytes
from pretrain.checkpoint.state import FACTS, encode, random_states
from pretrain.checkpoint.store import Writer
from pretrain.heartbeat import Phase
from pretrain.mesh import Mesh
from pretrain.types import TrainState

LASTING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # a disk that stays as it is until somebody acts
RANDOM = "random"  # the key of a rank's facts that this room adds
LARGE_BYTES = 10**9  # from here on a save takes long enough to be said before it is done


class Save:
    """One save of one state; the facts are taken down at once, the tensors when they are staged or written.

    Args:
        mesh: the ranks.
        folder: of the run's checkpoints.
        step: finished steps.
        final: whether they are all of the run's.
        state: live tensors and facts.
    Attributes:
        num_updates: accepted steps so far.
        took_s: from its beginning to its commit, when it stands.
        healthy: whether all it holds is finite; known on rank 0 when it stands.
        moved_s: time.monotonic() of when a piece was last written.
        waits: whether this rank has written its share, and waits for the others'.
    Raises:
        NotTensorsOnly: a fact is no JSON, a tensor none or of a dtype that can't be saved.
    """

    def __init__(self, mesh: Mesh, folder: Path, step: int, final: bool, state: TrainState) -> None:
        self._started_s = time.perf_counter()
        self._mesh, self._folder, self.step, self._is_final = mesh, folder, step, final
        self.path, self._temporary = folder / folder_name(step), folder / f".{folder_name(step)}.saving"
        self._tensors, self._given_up = dict(state.tensors), threading.Event()
        require_tensors(self._tensors)
        made_with = (
            {ENVIRONMENT: environment(mesh, config_of(state.facts))} if mesh.is_main else {}
        )  # the facts that rank 0 writes count
        self._facts = encode(state.facts | made_with, "facts")
        self._rank_facts = encode({RANDOM: random_states(mesh.device)}, "rank_facts")
        self._size_bytes, self._needed_bytes = state_bytes(self._tensors), bytes_needed(self._tensors, mesh.world_size)
        self.num_updates = updates_of(state.facts, step)
        self.took_s, self.healthy, self._held_s = 0.0, True, None
        self.moved_s, self.waits = time.monotonic(), False

    _held_s: float | None

    def prepare(self) -> None:
        """Make sure of the room and make the folder; called on every rank.

        Raises:
            SaveFailed: there is no room, or no folder can be made.
        """
        if self._mesh.is_main and self._size_bytes >= LARGE_BYTES:
            say(f"{self.path}: saving {human(self._size_bytes, 'B')}")
        try:
            on_main(self._mesh, self._make_folder)
        except OSError as error:
            raise self._failed(error) from error

    def _make_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self._folder)
        require_room(self._folder, self._needed_bytes, self._mesh.world_size)
        self._temporary.mkdir()

    def held(self) -> None:
        """Say that training goes on from here: the rest is done beside it."""
        self._held_s = time.perf_counter() - self._started_s

    def give_up(self) -> None:
        """End the writing soon, from another thread; nothing of it stays."""
        self._given_up.set()

    def write(self, staged: dict[str, Any] | None = None, group: Any = None) -> None:
        """Write all files and commit; called on every rank.

        Args:
            staged: copies of what this rank writes; None to write the live tensors.
            group: of processes whose collectives nobody else uses; None for the default one.
        Raises:
            SaveFailed: the disk is full or gone, with bytes needed and free. NotTensorsOnly: a tensor can't be saved.
        """
        writer = Writer(
            self._temporary, self._mesh.rank, self._rank_facts, self._commit, self._go_on, self._share_is_written
        )
        planner = DefaultSavePlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
        if staged is not None:
            planner = StagedPlanner(staged)
        try:
            with plain_errors():
                save(dict(self._tensors), storage_writer=writer, planner=planner, process_group=group)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            if self._mesh.is_main:  # here no rank writes any more: all have reported
                shutil.rmtree(self._temporary, ignore_errors=True)
        self.took_s = time.perf_counter() - self._started_s
        if self._mesh.is_main:
            beside = "" if self._held_s is None else f", training was held for {self._held_s:.1f} s of them"
            say(f"{self.path}: {human(self._size_bytes, 'B')} saved in {self.took_s:.1f} s{beside}")

    def _share_is_written(self) -> None:
        self.moved_s, self.waits = time.monotonic(), True

    def _go_on(self) -> None:
        self.moved_s = time.monotonic()
        if self._held_s is None:  # beside the steps it is no sign of theirs
            self._mesh.heartbeat.at(Phase.SAVING)
        if self._given_up.is_set():
            raise SaveGivenUp(f"{self.path}: given up for a stop; earlier checkpoints are as they were")

    def _commit(self, writer: Writer) -> None:
        self.waits = False
        self._go_on()
        files = dict(writer.files)
        files[METADATA] = write_file(self._temporary / METADATA, pretty_json(writer.metadata))
        files[FACTS] = write_file(self._temporary / FACTS, self._facts)
        manifest = Manifest(self.step, self._mesh.world_size, writer.not_finite, files, self._is_final)
        label = Label.PENDING if manifest.healthy else Label.BAD
        write_file(self._temporary / LABEL, label_json(label, manifest.problem))
        self.healthy = manifest.healthy
        commit(self._temporary, self.path, manifest)
        if not manifest.healthy:
            say(f"{self.path}: {manifest.problem}; it is kept for inspection and never resumed from")

    def _failed(self, error: OSError) -> SaveFailed:
        place = self._folder if self._folder.exists() else self._folder.parent
        free_bytes = shutil.disk_usage(place).free if place.exists() else 0
        failed = NoRoom if error.errno in LASTING else SaveFailed
        return failed(
            f"{self._folder}: the checkpoint of step {self.step} could not be saved ({error}); it needs "
            f"{self._needed_bytes} bytes, {free_bytes} are free; earlier checkpoints are as they were. Free space, "
            "lower checkpoint.keep_last, or set runs_dir to a larger disk that all ranks see"
        )


def on_main(mesh: Mesh, action: Callable[[], None]) -> None:
    """Do something on rank 0; its OSError is raised on every rank."""
    problem: list[Any] | None = None
    if mesh.is_main:
        try:
            action()
        except OSError as error:
            problem = [error.errno, error.strerror or str(error), error.filename and str(error.filename)]
    if (problem := mesh.broadcast_json(problem)) is not None:
        number, words, path = problem
        raise OSError(words) if number is None else OSError(number, words, path)


def updates_of(facts: dict[str, Any], step: int) -> int:
    """Return how many steps the guard let through; a state that doesn't count them has skipped none."""
    return int(facts.get("num_updates", step))
