"""Data parallelism: every rank holds the whole model; gradients are averaged while the backward still runs."""

from __future__ import annotations

import contextlib
import inspect
from contextlib import AbstractContextManager

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from foundation.errors import require
from pretrain.mesh import Mesh
from pretrain.parallel.errors import ParallelError
from pretrain.seats import Model, Parallel


class LossSum(nn.Module):
    """Makes the call of a module the model's `loss_sum`: DDP prepares its backward only around a call.

    Raises:
        ParallelError: the model's `loss_sum` takes no keys.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        signature = inspect.signature(model.loss_sum)
        try:
            signature.bind(None, None, None)
        except TypeError:
            raise ParallelError(
                f"model._target_: {type(model).__name__}.loss_sum{signature} takes no keys of the samples; write "
                "loss_sum(self, inputs_BT, targets_BT, keys_B=None): what it draws is to be a function of them, as in "
                "pretrain/model/dropout.py; a model that draws nothing leaves them alone"
            ) from None
        self.model = model

    def forward(self, inputs_BT: Tensor, targets_BT: Tensor, keys_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.model.loss_sum(inputs_BT, targets_BT, keys_B)


class DDP(Parallel):
    """torch's DistributedDataParallel where there are several ranks, the model itself where there is one.

    Args:
        bucket_bytes: gradients cross ranks in messages of this size, each as soon as it is full. Smaller ones overlap
            more of the backward, larger ones use the network better; flat from 16 MiB at 32 GPUs.
    Raises:
        SettingError: a bucket without room.
    Source: Li et al., arXiv:2006.15704; ml-engineering, network/benchmarks, for the message size.
    """

    def __init__(self, bucket_bytes: int = 25 << 20) -> None:
        require(bucket_bytes >= 1, "bucket_bytes", bucket_bytes, "1 or more; 26214400 (25 MiB) is the default")
        self.bucket_bytes = bucket_bytes

    def wrap(self, model: Model, mesh: Mesh) -> nn.Module:
        module = LossSum(model)
        if mesh.world_size == 1:
            return module
        # On construction rank 0's weights go to all. No static_graph: it only saves the search for unused parameters,
        # which is off, and it holds the first step's reductions back to the end.
        return DistributedDataParallel(
            module,
            device_ids=[mesh.device.index] if mesh.device.type == "cuda" else None,
            bucket_cap_mb=self.bucket_bytes / (1 << 20),
            gradient_as_bucket_view=True,  # no second copy of the gradients
        )

    def accumulate(self, wrapped: nn.Module, last: bool) -> AbstractContextManager[None]:
        if last or not isinstance(wrapped, DistributedDataParallel):
            return contextlib.nullcontext()
        return wrapped.no_sync()

    def replicated(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors
