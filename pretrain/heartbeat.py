"""A rank's sign of life: where it is in its step, in memory that the watchdog of its node reads. Imports no torch."""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Callable, Iterator, MutableSequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Phase(IntEnum):
    """What a rank does; of two in one step and micro batch, the one further down is ahead."""

    STARTING = 0
    LOADING = 1
    COUNTING = 2
    FORWARD = 3
    BACKWARD = 4
    EXCHANGE = 5  # the last micro batch's backward, in which the gradients cross the ranks
    WATCHING = 6
    UPDATE = 7
    DEVICE = 8
    SAVING = 9
    EVALUATING = 10
    ENDING = 11
    ENDED = 12

    @property
    def words(self) -> str:
        """What it is called in a message."""
        return WORDS[self]


WORDS = {
    Phase.STARTING: "starting: restoring, compiling",
    Phase.LOADING: "loading data",
    Phase.COUNTING: "adding up the targets of all ranks",
    Phase.FORWARD: "forward",
    Phase.BACKWARD: "backward",
    Phase.EXCHANGE: "backward, in which gradients cross the ranks",
    Phase.WATCHING: "looking into the step",
    Phase.UPDATE: "the update",
    Phase.DEVICE: "waiting for the device",
    Phase.SAVING: "saving",
    Phase.EVALUATING: "evaluating",
    Phase.ENDING: "ending: closing files and loggers",
    Phase.ENDED: "ended",
}

# from the batch to the update
IN_STEP = (Phase.LOADING, Phase.COUNTING, Phase.FORWARD, Phase.BACKWARD, Phase.EXCHANGE, Phase.UPDATE)

PAGE = "beats"  # name of the file that a node's ranks write and its watchdog reads
# a slot, a rank's part of the page: int64 fields in this order
PID, RANK, BEAT_NS, STEP, MICRO_BATCH, PHASE, COLLECTIVES, WAITING, STEPS_BEGUN = range(9)
NUM_FIELDS = 16  # a slot is two cache lines: ranks that beat don't take them from each other
SLOT_BYTES = 8 * NUM_FIELDS


@dataclass(frozen=True, slots=True)
class Beat:
    """What a slot says.

    Attributes:
        pid, rank: of the process.
        beat_ns: CLOCK_MONOTONIC of its last sign.
        step: steps finished. micro_batch: from 1, of the step under way; 0 outside of forward and backward.
        phase: what it does.
        collectives: exchanges with the other ranks that it has begun; all ranks begin the same ones in one order.
        waiting: inside one of them.
        steps_begun: since the process started.
        local_rank: number of the slot.
    """

    pid: int
    rank: int
    beat_ns: int
    step: int
    micro_batch: int
    phase: Phase
    collectives: int
    waiting: bool
    steps_begun: int
    local_rank: int


class Heartbeat:
    """Writes one rank's slot: a few stores into memory a sign, no system call. Private memory until `attach`.

    Attributes:
        listener: is told of each phase that begins.
    """

    def __init__(self) -> None:
        self.listener: Callable[[Phase], None] = _unheard
        self._slot: MutableSequence[int] | memoryview[int] = [0] * NUM_FIELDS

    def attach(self, page: Path, local_rank: int, rank: int) -> None:
        """Write to a shared page from now on.

        Args:
            page: a file that `make_page` made.
            local_rank: which slot. rank: of this process.
        Raises:
            OSError: it can't be mapped.
        """
        slot = _slots(page, mmap.ACCESS_WRITE)[local_rank * NUM_FIELDS : (local_rank + 1) * NUM_FIELDS]
        slot[RANK], slot[BEAT_NS], slot[PHASE] = rank, time.monotonic_ns(), Phase.STARTING
        slot[PID] = os.getpid()  # last: a slot with a pid is in use
        self._slot = slot

    def at(self, phase: Phase, step: int | None = None, micro_batch: int = 0) -> None:
        """Say what this rank begins to do.

        Args:
            phase: it. step: steps finished; None for the one said last. micro_batch: as in `Beat`.
        """
        slot = self._slot
        if step is not None:
            slot[STEP] = step
        slot[STEPS_BEGUN] += phase is Phase.LOADING
        slot[PHASE], slot[MICRO_BATCH], slot[BEAT_NS] = phase, micro_batch, time.monotonic_ns()
        self.listener(phase)

    @property
    def step_under_way(self) -> int | None:
        """The step, from 1, that this rank is in; None between two: where it waits for the device, saves, evaluates."""
        return self._slot[STEP] + 1 if self._slot[PHASE] in IN_STEP else None

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Say that this rank waits for the others inside this block."""
        slot = self._slot
        slot[COLLECTIVES] += 1
        slot[WAITING], slot[BEAT_NS] = 1, time.monotonic_ns()
        try:
            yield
        finally:
            slot[WAITING], slot[BEAT_NS] = 0, time.monotonic_ns()


class Page:
    """The slots of a node's ranks, as the watchdog sees them."""

    def __init__(self, path: Path) -> None:
        self._slots = _slots(path, mmap.ACCESS_READ)

    def beats(self) -> list[Beat]:
        """Return what each slot in use says, in the order of local ranks."""
        found = []
        for number in range(len(self._slots) // NUM_FIELDS):
            slot = self._slots[number * NUM_FIELDS : (number + 1) * NUM_FIELDS].tolist()
            if slot[PID]:
                found.append(
                    Beat(
                        slot[PID],
                        slot[RANK],
                        slot[BEAT_NS],
                        slot[STEP],
                        slot[MICRO_BATCH],
                        Phase(slot[PHASE]),
                        slot[COLLECTIVES],
                        bool(slot[WAITING]),
                        slot[STEPS_BEGUN],
                        number,
                    )
                )
        return found


def make_page(path: Path, num_ranks: int) -> None:
    """Make the file of a node's slots, all unused, for its owner alone.

    Raises:
        OSError: it can't be made, or is there already.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.ftruncate(descriptor, num_ranks * SLOT_BYTES)
    finally:
        os.close(descriptor)


def _unheard(phase: Phase) -> None:
    pass


def _slots(path: Path, access: int) -> memoryview[int]:
    flags = os.O_RDWR if access == mmap.ACCESS_WRITE else os.O_RDONLY
    descriptor = os.open(path, flags | os.O_NOFOLLOW)
    try:
        return memoryview(mmap.mmap(descriptor, 0, access=access)).cast("q")
    finally:
        os.close(descriptor)
