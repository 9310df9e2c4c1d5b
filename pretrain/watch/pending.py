"""Tensors on their way to the host: copied without a sync, given at a fixed lag, like the records of steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pretrain.late import LAG_STEPS

Found = dict[str, np.ndarray]
Lines = Iterator[tuple[str, dict[str, Any]]]


class Pending:
    """A queue of what was seen, and of how it becomes lines once it is on the host.

    Args:
        device: where the tensors are.
    """

    def __init__(self, device: torch.device) -> None:
        self._pinned = device.type == "cuda"
        self._waiting: deque[tuple[int, Found | dict[str, Tensor], Callable[[Found], Lines], Any]] = deque()

    def push(self, step: int, tensors: Mapping[str, Tensor], lines: Callable[[Found], Lines]) -> None:
        """Start the copy of tensors that nothing changes any more.

        Args:
            step: steps finished with the one that they are of. tensors: by name. lines: makes lines of them.
        """
        event = None
        copies: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            if self._pinned:
                host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                copies[name] = host.copy_(tensor, non_blocking=True)
            else:
                copies[name] = tensor.cpu()
        if self._pinned:
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        self._waiting.append((step, copies, lines, event))

    def ready(self, step: int, drain: bool) -> Lines:
        """Yield the lines of what is LAG_STEPS old, oldest first; with `drain` of all.

        Args:
            step: steps finished.
        """
        while self._waiting and (drain or self._waiting[0][0] <= step - LAG_STEPS):
            _, copies, lines, event = self._waiting.popleft()
            if event is not None:
                event.synchronize()
            yield from lines({name: np.asarray(tensor) for name, tensor in copies.items()})

    def forget(self) -> None:
        """Drop all."""
        self._waiting.clear()
