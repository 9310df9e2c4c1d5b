"""The copy in host memory that a save is made from while training goes on: what is staged no later step can change.

Tensors that all ranks hold alike are written by one of them, chosen by DCP's plan. The plan hangs on names, shapes and
dtypes alone, so it is asked for once, and a rank copies what it will write and nothing else: eight replicas need the
memory of one.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.metadata import Metadata, MetadataIndex
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from pretrain.checkpoint.blocks import ALIGN_BYTES
from pretrain.checkpoint.reading import plain_errors
from pretrain.checkpoint.retention import say
from pretrain.checkpoint.store import Writer

Layout = tuple[tuple[str, tuple[int, ...], torch.dtype], ...]


class Staging:
    """One buffer in host memory, kept from save to save.

    Args:
        device: where the tensors live; for CUDA the buffer is page-locked, so that copies run at the bus's speed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._buffer = torch.empty(0, dtype=torch.uint8)
        self._views: dict[str, Tensor] = {}
        self._layout: Layout = ()
        self._locked = False

    @property
    def size_bytes(self) -> int:
        """What it holds on to."""
        return self._buffer.nbytes

    def reserve(self, tensors: dict[str, Tensor]) -> None:
        """Have room for these tensors; without effect where there is.

        Raises:
            MemoryError, RuntimeError: there is not as much memory.
        """
        shards = {name: local_part(tensor) for name, tensor in tensors.items()}
        layout = tuple((name, tuple(shard.shape), shard.dtype) for name, shard in shards.items())
        if layout == self._layout:
            return
        self.release()
        starts, size_bytes = {}, 0
        for name, shard in shards.items():
            starts[name] = size_bytes
            size_bytes += -(-shard.numel() * shard.element_size() // ALIGN_BYTES) * ALIGN_BYTES
        self._buffer = torch.empty(size_bytes, dtype=torch.uint8)
        self._lock()
        self._views = {name: _view(self._buffer, starts[name], shard) for name, shard in shards.items()}
        self._layout = layout

    def stage(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Copy this rank's part of each tensor; return the copies, contiguous, valid until the next `stage`.

        When it returns, the tensors may change: the device has finished all copies.
        """
        self.reserve(tensors)
        with torch.no_grad():
            for name, tensor in tensors.items():
                self._views[name].copy_(local_part(tensor), non_blocking=self._locked)
        if self._locked:
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record(torch.cuda.current_stream(self._device))
            copied.synchronize()
        return dict(self._views)

    def release(self) -> None:
        """Give the memory back."""
        if self._locked:
            _cudart().cudaHostUnregister(self._buffer.data_ptr())
        self._buffer, self._views, self._layout, self._locked = torch.empty(0, dtype=torch.uint8), {}, (), False

    def _lock(self) -> None:
        """Page-lock the buffer as it is: torch's own pinned memory comes in powers of two."""
        if self._device.type != "cuda" or not self._buffer.nbytes:
            return
        failed = int(_cudart().cudaHostRegister(self._buffer.data_ptr(), self._buffer.nbytes, 0))
        self._locked = not failed
        if failed:
            _forget_error(self._device)
            say(f"{self._buffer.nbytes} bytes can't be page-locked (CUDA error {failed}): saves hold steps for longer")


def _forget_error(device: torch.device) -> None:
    """Take CUDA's last error away, which torch's cudart leaves: the check after the next kernel's launch raises it."""
    with contextlib.suppress(RuntimeError):
        torch.zeros(1, device=device).add_(1)


def _cudart() -> Any:
    return torch.cuda.cudart()  # type: ignore[no-untyped-call]


def _view(buffer: Tensor, start: int, like: Tensor) -> Tensor:
    size_bytes = like.numel() * like.element_size()
    return buffer[start : start + size_bytes].view(like.dtype).view(like.shape)


def local_part(tensor: Tensor) -> Tensor:
    """Return what of a tensor this rank holds: of a DTensor its shard, else the tensor."""
    to_local = getattr(tensor, "to_local", None)
    local = tensor.detach() if to_local is None else to_local().detach()
    assert isinstance(local, Tensor)
    return local


class StagedPlanner(DefaultSavePlanner):
    """Plans by the live tensors' shapes; what is written comes from the staged copies.

    Args:
        staged: name -> copy, of every tensor that this rank writes.
    """

    def __init__(self, staged: dict[str, Tensor]) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)
        self._staged = staged

    def lookup_object(self, index: MetadataIndex) -> Any:
        return self._staged[index.fqn]


def planned_names(tensors: dict[str, Tensor]) -> set[str]:
    """Return the names of the tensors that this rank will write; called on every rank. Nothing is written.

    Raises:
        NotTensorsOnly: as a save.
    """
    planner, ask = DefaultSavePlanner(flatten_state_dict=False, flatten_sharded_tensors=False), _Ask()
    with plain_errors():
        save(dict(tensors), storage_writer=ask, planner=planner)
    return ask.names


class _Ask(Writer):
    """Takes a plan and writes nothing. Attributes: names: of the tensors that this rank was to write."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        self.names = {item.index.fqn for item in plan.items}
        assert len(self.names) == len(plan.items)  # one chunk of each tensor
        future: Future[list[WriteResult]] = Future()
        future.set_result([])
        return future

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        pass


def state_bytes(tensors: dict[str, Tensor]) -> int:
    """Return the size of the whole state over all ranks."""
    return sum(math.prod(tensor.shape) * tensor.element_size() for tensor in tensors.values())
