"""Writes down which sequences a rank was given, at the seat of the parallelism: what the model is called with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foundation.hashes import hash_bytes
from pretrain.json_lines import JsonLines, read_lines
from pretrain.mesh import Mesh
from pretrain.seats import Model, Parallel


class Witness(Parallel):
    """Wraps the model as another one does, and writes a line for each micro batch before its forward pass.

    Args:
        of: the run's own parallelism.
        into: folder of the lines, a file a rank.
    """

    def __init__(self, of: Parallel, into: str) -> None:
        self._of, self._into = of, Path(into)
        self._nth, self._place, self._is_last = 0, 0, False

    def wrap(self, model: Model, mesh: Mesh) -> nn.Module:
        wrapped = self._of.wrap(model, mesh)
        if mesh.device.type == "meta":
            return wrapped
        lines = JsonLines(self._into / f"rank_{mesh.rank}.jsonl")
        micro_batches = {"rank": mesh.dp_rank, "ranks": mesh.dp_size}

        def write(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            rows = torch.cat([arguments[0], arguments[1]], dim=1).cpu().contiguous().numpy()
            given = [hash_bytes(row.tobytes()) for row in rows]
            lines.append({**micro_batches, "nth": self._nth, "place": self._place, "rows": given})
            self._nth, self._place = (self._nth + 1, 0) if self._is_last else (self._nth, self._place + 1)

        wrapped.register_forward_pre_hook(write)
        return wrapped

    def accumulate(self, wrapped: nn.Module, last: bool) -> AbstractContextManager[None]:
        self._is_last = last
        return self._of.accumulate(wrapped, last)

    def replicated(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return self._of.replicated(tensors)


def batches_of(folder: Path) -> Iterator[list[str]]:
    """Yield the global batch of each step since the start, as the hashes of its sequences in their order.

    Steps that not all ranks have begun, or not with all of their micro batches, are left out.
    """
    found: dict[int, dict[int, list[str]]] = {}
    for path in sorted(folder.glob("rank_*.jsonl")):
        for line in read_lines(path):
            micro_batch = line["place"] * line["ranks"] + line["rank"]
            found.setdefault(line["nth"], {})[micro_batch] = line["rows"]
    most = max((len(parts) for parts in found.values()), default=0)
    for nth in sorted(found):
        if len(found[nth]) == most:
            yield [row for place in sorted(found[nth]) for row in found[nth][place]]
