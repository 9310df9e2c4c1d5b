"""Which number formats the forward pass uses. Weights, gradients and moments are float32 in all of them."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Literal

import torch

from pretrain.parallel.errors import ParallelError
from pretrain.seats import Numerics

AMPERE = (8, 0)  # the first CUDA capability with bfloat16 matrix units; below, torch emulates it slowly


class Precision(Numerics):
    """Autocast: matrix products in `dtype`, sums that need it (norms, softmax, the loss) in float32.

    Args:
        dtype: float32 for no autocast; bfloat16; auto for bfloat16 on GPUs that have it, else float32.
    """

    def __init__(self, dtype: Literal["auto", "float32", "bfloat16"] = "auto") -> None:
        self.dtype = dtype

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        if self.resolve(device) is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(device.type, torch.bfloat16)

    def resolve(self, device: torch.device) -> torch.dtype:
        """Return the dtype of matrix products on this device.

        Raises:
            ParallelError: bfloat16 on a GPU that has none.
        """
        has_bf16 = device.type != "cuda" or torch.version.hip is not None or _capability(device) >= AMPERE
        if self.dtype == "bfloat16" and not has_bf16:
            raise ParallelError(
                f"precision.dtype: bfloat16, but {torch.cuda.get_device_name(device)} has no bfloat16 matrix units; "
                "set precision=float32"
            )
        if self.dtype == "bfloat16" or (self.dtype == "auto" and device.type == "cuda" and has_bf16):
            return torch.bfloat16
        return torch.float32


def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)
