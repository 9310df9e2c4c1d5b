"""Ranks and devices: who this process is, and sums over all. It and torchrun.py read the launchers' environment."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import orjson
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from foundation.errors import ConfigError, GroundworkError
from foundation.files import canonical_json
from pretrain.heartbeat import Heartbeat
from pretrain.torchrun import file_store, launcher_is_gone

DeviceType = Literal["auto", "cuda", "mps", "cpu"]
SETTLE_S = 0.2  # far longer than dropping a tensor takes, far shorter than anyone waits for
MEET_S = 0.05  # between two looks at who has started
TIMEOUT = timedelta(minutes=10)  # a rank that is silent for longer is taken for dead
HOST_TIMEOUT = timedelta(hours=1)  # beside the steps, e.g. for the slowest rank's share of a checkpoint
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"  # the interface that no other machine reaches
# which interface gloo and NCCL listen on; NCCL takes a name without `=` for the beginning of one
SOCKETS = {"GLOO_SOCKET_IFNAME": LOOPBACK, "NCCL_SOCKET_IFNAME": f"={LOOPBACK}"}
REASON_TIMEOUT = timedelta(seconds=2)  # for a rank that fails to say why
FAILED = "groundwork/failed"  # key of that reason in the ranks' store
BY_TORCHRUN = "start with torchrun, which sets it, or unset RANK, WORLD_SIZE and their kin for a single process"
PEER_GONE = ("closed by peer", "reset by peer", "Broken pipe", "Timed out")  # gloo raises a bare RuntimeError


class PeerLost(GroundworkError):
    """Another rank has ended, and this one can't go on without it."""

    restart_helps = True


@dataclass(frozen=True, slots=True)
class Mesh:
    """The processes of this run. In a single process no method communicates.

    Attributes:
        rank, world_size, local_rank: as torchrun gives them; dp_rank, dp_size: place on the data-parallel axis.
        device: where the model and batches of this rank live.
        restarts: how often a launcher restarted the ranks; the same on all.
        store: what ranks can tell each other outside of a collective; None in a single process.
        local_size: ranks on this node.
        heartbeat: takes where this rank is; whoever waits for others here says so by it.
    """

    rank: int
    world_size: int
    local_rank: int
    device: torch.device
    restarts: int = 0
    store: Store | None = None
    local_size: int = 1
    heartbeat: Heartbeat = field(default_factory=Heartbeat)

    @property
    def dp_rank(self) -> int:
        return self.rank

    @property
    def dp_size(self) -> int:
        return self.world_size

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Add `values` up over all ranks, in place; every rank holds the same bits after. No host sync on a GPU."""
        if self.world_size > 1:
            with self.heartbeat.waiting():
                dist.all_reduce(values, op=dist.ReduceOp.SUM)
        return values

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world_size > 1:
            with self.heartbeat.waiting():
                dist.barrier()

    def new_host_group(self) -> dist.ProcessGroup | None:
        """Return a group of all ranks over gloo for the collectives of another thread; None in a single process.

        A rank may keep the others waiting there for longer than in a step: those who have died are noticed in both.
        """
        return dist.new_group(timeout=HOST_TIMEOUT, backend="gloo") if self.world_size > 1 else None

    def broadcast_json(self, value: Any, source: int = 0) -> Any:
        """Return the `value` (JSON values) of rank `source` on every rank."""
        if self.world_size == 1:
            return value
        # As JSON in a tensor: torch's own broadcast of objects pickles.
        data = bytearray(canonical_json(value)) if self.rank == source else bytearray()
        length = torch.tensor(len(data))
        with self.heartbeat.waiting():
            dist.broadcast(length, src=source)
            buffer = torch.frombuffer(data or bytearray(int(length)), dtype=torch.uint8)
            dist.broadcast(buffer, src=source)
        return orjson.loads(buffer.numpy().tobytes())

    def on_main(self, action: Callable[[], Any]) -> Any:
        """Return on every rank what `action` (JSON values) returned on rank 0, where alone it is called.

        Raises:
            GroundworkError: what it raised there, on every rank: none waits for one that has left.
        """
        failed: GroundworkError | None = None
        outcome: dict[str, Any] = {}
        if self.is_main:
            try:
                outcome = {"value": action()}
            except GroundworkError as error:
                ends = {"exit_code": error.exit_code, "restart_helps": error.restart_helps}
                failed, outcome = error, {"error": str(error)} | ends
        outcome = self.broadcast_json(outcome)
        if "error" in outcome:
            raise failed or _as_on_main(outcome)
        return outcome["value"]

    @contextlib.contextmanager
    def failing_together(self) -> Iterator[None]:
        """Inside this block a rank that fails leaves word for the others, whose next collective fails without a reason.

        Raises:
            PeerLost: instead of a collective's error, with the reason of the rank that has ended; else its own words.
        """
        try:
            yield
        except PeerLost:
            raise
        except BaseException as error:
            if self.store is None:
                raise
            if isinstance(error, RuntimeError) and _lost_a_peer(error):
                raise PeerLost(_why(self.store, error)) from error
            with contextlib.suppress(RuntimeError):  # the store's process may be gone as well
                # only where nothing is: the first to fail is the cause, those after it may be what came of it
                self.store.compare_set(FAILED, "", f"rank {self.rank}: {type(error).__name__}: {error}")
            raise

    def any(self, flag: bool) -> bool:
        """Return whether `flag` holds on at least one rank. A host sync: never in a normal step."""
        if self.world_size == 1:
            return flag
        count = torch.tensor(float(flag), device=self.device)
        return bool(self.sum(count).item() > 0)

    def first(self, word: str | None) -> tuple[int, str] | None:
        """Return on every rank the lowest rank that has a `word`, and that word; None where none has. A host sync."""
        if self.world_size == 1:
            return None if word is None else (0, word)
        has_one = torch.zeros(self.world_size, device=self.device)
        has_one[self.rank] = float(word is not None)
        ranks = self.sum(has_one).nonzero()
        if not len(ranks):
            return None
        source = int(ranks[0])
        return source, self.broadcast_json(word, source)


@contextlib.contextmanager
def start_mesh(
    device_type: DeviceType, key: str = "trainer.device_type", timeout: timedelta = TIMEOUT
) -> Iterator[Mesh]:
    """Join the other processes that a launcher started, if one did; leave the group at the end.

    Args:
        device_type: auto takes cuda, else mps, else cpu.
        key: by which the user chose it, for messages.
        timeout: how long a rank waits for the others in one exchange.
    Raises:
        ConfigError: the device isn't there, or the environment says half of where this process stands.
        PeerLost: another rank or torchrun itself has ended meanwhile.
    """
    rank, world_size, local_rank = _place()
    chosen = _choose_device(device_type, key, local_rank)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world_size == 1:
        if launcher_is_gone():
            raise PeerLost(
                "torchrun has ended: its store does not answer, and nobody would stop this rank; start again"
            )
        yield Mesh(rank, world_size, local_rank, chosen, _counted_by_torchrun())
        return
    backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", world_size))
    if _on_one_machine(world_size):
        _listen_on_loopback()
    store, restarts = _part_of_this_start(_common_store(), rank, world_size)
    try:
        dist.init_process_group(backend, timeout=timeout, store=store, rank=rank, world_size=world_size)
    except RuntimeError as error:  # DistError is one
        raise PeerLost(f"another rank ended while they met; was one killed, or out of memory? {error}") from error
    mesh = Mesh(rank, world_size, local_rank, chosen, restarts, store, local_size)
    try:
        with mesh.failing_together():
            yield mesh
    finally:
        # The group's last owner joins gloo's threads with the GIL held; one that still waits for the GIL to drop the
        # tensors of a finished collective would never end. Asleep, this thread leaves the GIL to them.
        time.sleep(SETTLE_S)
        dist.destroy_process_group()


def set_determinism(deterministic: bool) -> None:
    """Choose kernels with reproducible sums, or the fast ones; called before the first product on a GPU."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it torch refuses cuBLAS in this mode
    if deterministic != torch.are_deterministic_algorithms_enabled():  # setting imports the compiler, a second a start
        torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = False


def _place() -> tuple[int, int, int]:
    """Return rank, world size and local rank, as torchrun or whoever started the ranks has set them."""
    places = {}
    for name, alone in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0")):
        text = os.environ.get(name, alone)
        if not text.isdecimal():
            raise ConfigError(f"{name}: {text!r} is not a whole number; {BY_TORCHRUN}")
        places[name] = int(text)
    if places["WORLD_SIZE"] > 1 and file_store() is None:
        for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
            if name not in os.environ:
                raise ConfigError(f"{name}: is not set, though WORLD_SIZE is {places['WORLD_SIZE']}; {BY_TORCHRUN}")
    if places["RANK"] >= places["WORLD_SIZE"]:
        world_size = os.environ.get("WORLD_SIZE", "not set")
        raise ConfigError(f"RANK: {places['RANK']}, though WORLD_SIZE is {world_size}; {BY_TORCHRUN}")
    return places["RANK"], places["WORLD_SIZE"], places["LOCAL_RANK"]


def _common_store() -> Store:
    """Return what all ranks can write to: a file of launcher=local, which opens no port, or what torchrun holds."""
    if path := file_store():
        store = dist.FileStore(str(path), -1)  # type: ignore[attr-defined]  # -1: its launcher removes it
        store.set_timeout(TIMEOUT)
        return store
    rendezvoused: Store = next(iter(rendezvous("env://", timeout=TIMEOUT)))[0]
    return rendezvoused


def _on_one_machine(world_size: int) -> bool:
    address = os.environ.get("MASTER_ADDR", "")
    everyone = os.environ.get("LOCAL_WORLD_SIZE") == str(world_size)
    return everyone or address in ("localhost", "::1") or address.startswith("127.")


def _listen_on_loopback() -> None:
    """Have the ranks' connections out of other machines' reach; what the user has chosen stays."""
    if LOOPBACK in (name for _, name in socket.if_nameindex()):
        for name, interface in SOCKETS.items():
            os.environ.setdefault(name, interface)


def _part_of_this_start(store: Store, rank: int, world_size: int) -> tuple[Store, int]:
    """Return a part of torchrun's store that only this start of all ranks writes to, and how many restarts came before.

    That store outlives a restart, with addresses that are dead, and torchrun's own count doesn't tell starts apart: a
    node that is stopped because another one failed doesn't count. So rank 0 counts, and answers each rank by a word
    that only this start of it knows: an answer of a start before is never read.

    Raises:
        PeerLost: not all ranks came within `TIMEOUT`.
    """
    if rank:
        word = uuid.uuid4().hex
        store.set(f"groundwork/here/{rank}", word)
        try:
            start, restarts = orjson.loads(store.get(f"groundwork/answer/{word}"))
        except RuntimeError as error:  # DistError is one
            raise PeerLost(f"rank 0 gave no sign within {TIMEOUT}; has its node started, or failed? {error}") from error
        store.add(f"groundwork/met/{start}", 1)
    else:
        start, restarts = store.add("groundwork/starts", 1), _restarts(store)
        _answer(store, canonical_json([start, restarts]).decode(), f"groundwork/met/{start}", world_size)
    return dist.PrefixStore(f"groundwork/{start}", store), restarts  # type: ignore[attr-defined]


def _answer(store: Store, answer: str, met_key: str, world_size: int) -> None:
    """Tell every other rank `answer`, also one that comes late; words left by a start before are answered too."""
    until_s = time.monotonic() + TIMEOUT.total_seconds()
    while (met := store.add(met_key, 0)) < world_size - 1:
        if time.monotonic() > until_s:
            raise PeerLost(f"{met + 1} of {world_size} ranks came within {TIMEOUT}; has a node not started, or failed?")
        for key in (f"groundwork/here/{rank}" for rank in range(1, world_size)):
            if store.check([key]):
                store.set(f"groundwork/answer/{store.get(key).decode()}", answer)
        time.sleep(MEET_S)


def _restarts(store: Store) -> int:
    """Count the processes that were rank 0 before this one; one that trains twice is no restart."""
    first = store.add(f"groundwork/rank_0/{_name_of(os.getpid())}", 1) == 1
    others = store.add("groundwork/rank_0", int(first)) - 1
    return max(others, _counted_by_torchrun())  # a store that rank 0 itself keeps is a new one


@functools.cache
def _name_of(pid: int) -> str:
    """Return what tells this process from every other; host and pid don't: in containers both come again.

    Args:
        pid: this process's; a child made by fork has another, and so a name of its own.
    """
    return uuid.uuid4().hex


def _counted_by_torchrun() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def _choose_device(name: DeviceType, key: str, local_rank: int) -> torch.device:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available[name]:
        usable = ", ".join(kind for kind, there in available.items() if there)
        raise ConfigError(f"{key}: {name!r} is not available here; allowed: auto, {usable}")
    if name == "cuda" and local_rank >= (num_gpus := torch.cuda.device_count()):
        raise ConfigError(
            f"{key}: local rank {local_rank} has no GPU of its own, there are {num_gpus}; lower --nproc_per_node"
        )
    return torch.device(name, local_rank) if name == "cuda" else torch.device(name)


def _as_on_main(outcome: dict[str, Any]) -> GroundworkError:
    """Return rank 0's error as another rank raises it: a launcher that sees this rank end first ends the same way."""
    error = GroundworkError(outcome["error"])
    error.exit_code, error.restart_helps = outcome["exit_code"], outcome["restart_helps"]
    return error


def _lost_a_peer(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or any(words in str(error) for words in PEER_GONE)


def _why(store: Store, error: RuntimeError) -> str:
    """Return what the rank that has ended left in the store; without it, what the collective itself said."""
    try:
        store.wait([FAILED], REASON_TIMEOUT)
        return f"another rank has ended: {store.get(FAILED).decode()}"
    except RuntimeError:  # DistError is one
        return f"a collective failed, and no rank said why; was one killed, or out of memory? {error}"
