"""By how much sums that are taken in another order may differ, by the coarsest number format that a pass computes in.

A kernel may choose its order of sums by what its input holds: an expert's product has as many rows as tokens were sent
to it, and a block of attention is left out where all of it is masked. Then tokens that a position does not see move its
logits by rounding. A product adds up in float32 whatever its inputs are, so that a coarse format rounds once a product,
float32 once an addition: of a thousand terms that is a few dozen units, of dozens of layers a few hundred.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# By which part of the largest logit a logit may move, the coarsest format last. A unit is 2^-24 of float32, 2^-11 of
# float16, 2^-8 of bfloat16, 2^-4 and 2^-3 of float8 e4m3 and e5m2: some 300 units of float32, 10 of float16 and
# bfloat16, 4 of float8, whose products are rounded to bfloat16 at once.
ROUNDING = {
    torch.float64: 1e-13,
    torch.float32: 2e-5,
    torch.float16: 5e-3,
    torch.bfloat16: 4e-2,
    torch.float8_e4m3fn: 0.25,
    torch.float8_e5m2: 0.5,
}
COARSENESS = {dtype: place for place, dtype in enumerate(ROUNDING)}


class Formats(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within its context, notes the coarsest number format that an operation takes or gives.

    Attributes:
        coarsest: of ROUNDING; float64 before any.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.coarsest = torch.float64

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves((args, kwargs, made)):
            if isinstance(each, Tensor) and COARSENESS.get(each.dtype, -1) > COARSENESS[self.coarsest]:
                self.coarsest = each.dtype
        return made


@contextlib.contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Compute inside this block in the formats that the weights have: no autocast, no TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def name_of(dtype: torch.dtype) -> str:
    """Return what a format is called."""
    return str(dtype).removeprefix("torch.")
