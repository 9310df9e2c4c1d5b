"""Saving beside the steps: copied on the loop's thread, written on another, on all ranks, one at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from foundation.hashes import hash_json
from pretrain.checkpoint.errors import SaveFailed
from pretrain.checkpoint.saving import Save
from pretrain.checkpoint.staging import Staging, planned_names, state_bytes
from pretrain.heartbeat import Phase
from pretrain.mesh import Mesh

LOOK_S = 1.0  # between two looks at how far a save is that is waited for
Write = Callable[[Save, dict[str, Tensor], Any], None]


class Beside:
    """At most one save that goes on while the steps do.

    Args:
        mesh: the ranks; each method but `close` and `abandon` is called on all of them.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._mesh, self._staging = mesh, Staging(mesh.device)
        self._names: tuple[str, set[str]] = ("", set())  # a hash of what is saved, and what this rank writes of it
        self._group: Any = None
        self._under_way: tuple[Save, _Thread] | None = None

    @property
    def under_way(self) -> Save | None:
        """The save that has not been joined yet; there is one on every rank or on none."""
        return self._under_way[0] if self._under_way else None

    @property
    def ended(self) -> bool:
        """Whether `join` would not wait on this rank."""
        return self._under_way is None or self._under_way[1].ended

    def ended_everywhere(self) -> bool:
        """Return whether no rank would wait; asked on the hosts, no device is waited for."""
        return int(self._mesh.sum(torch.tensor(int(self.ended)))) == self._mesh.world_size

    def start(self, save: Save, tensors: dict[str, Tensor], write: Write) -> None:
        """Copy what this rank writes; when this returns, the tensors may change, and `write` is under way.

        Raises:
            SaveFailed: there is no room on the disk, or none in memory for the copy.
        """
        assert self._under_way is None
        mine = {name: tensors[name] for name in self._names_to_write(tensors)}
        self._reserve(mine)
        save.prepare()
        if self._group is None:
            self._group = self._mesh.new_host_group()  # the threads' collectives must not mix with the steps'
        staged, group = self._staging.stage(mine), self._group
        save.held()
        self._under_way = save, _Thread(lambda: write(save, staged, group), f"checkpoint of step {save.step}")

    def join(self) -> Save:
        """Wait for the save under way and return it.

        Raises:
            SaveFailed, NotTensorsOnly: on every rank, as when it is written at once.
        """
        assert self._under_way is not None
        save, thread = self._under_way
        self._wait_for(save, thread)  # a Ctrl-C in here leaves it under way: it is then given up
        self._under_way = None
        thread.raise_error()
        return save

    def _wait_for(self, save: Save, thread: _Thread) -> None:
        """Wait for the thread's end. A sign of life is given while it gets on, or waits for ranks that must themselves:
        a disk may be slow for longer than the watchdog would wait for one that hangs."""
        seen_s = 0.0
        while not thread.wait(LOOK_S):
            if save.waits or save.moved_s > seen_s:
                seen_s = save.moved_s
                self._mesh.heartbeat.at(Phase.SAVING)

    def abandon(self) -> None:
        """End a save that is under way soon; nothing of it stays."""
        if self._under_way is not None:
            self._under_way[0].give_up()
            with contextlib.suppress(Exception):  # gloo's own, too: a peer that was lost is no news any more
                self.join()

    def close(self) -> None:
        """Let go of memory and group; nothing is under way."""
        self._group = None  # the mesh ends it with its own, when no thread is left
        self._staging.release()

    def _names_to_write(self, tensors: dict[str, Tensor]) -> list[str]:
        """Return the names of what this rank will write; the ranks share what they hold alike."""
        if self._mesh.world_size == 1:
            return list(tensors)
        key = hash_json([[name, list(tensor.shape), str(tensor.dtype)] for name, tensor in tensors.items()])
        if key != self._names[0]:
            self._names = key, planned_names(tensors)
        return [name for name in tensors if name in self._names[1]]

    def _reserve(self, tensors: dict[str, Tensor]) -> None:
        problem: Exception | None = None
        try:
            self._staging.reserve(tensors)
        except (MemoryError, RuntimeError) as error:
            problem = error
        if self._mesh.any(problem is not None):
            raise SaveFailed(
                f"checkpoint.asynchronous: a rank has no memory for a copy of the {state_bytes(tensors)} bytes that it "
                f"writes ({problem or 'its own message says more'}); set checkpoint.asynchronous=false: "
                "steps then wait for the disk"
            ) from problem


class _Thread:
    """A thread that does one thing; its error is raised where it is waited for."""

    def __init__(self, action: Callable[[], None], name: str) -> None:
        self._action = action
        self._error: BaseException | None = None
        self._done = threading.Event()  # a Thread whose `join` was interrupted counts as ended though it isn't
        # daemon: an interpreter that is told to end at once doesn't wait for it
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._action()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    @property
    def ended(self) -> bool:
        return self._done.is_set()

    def wait(self, timeout_s: float) -> bool:
        return self._done.wait(timeout_s)

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error
