from __future__ import annotations

import pytest
import torch
from torch import nn

from pretrain.parallel.precision import Precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("dtype", "computed"), [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("auto", torch.float32)]
)
def test_matrix_products_on_a_cpu(dtype: str, computed: torch.dtype) -> None:
    layer = nn.Linear(3, 3)
    with Precision(dtype).autocast(CPU):
        y = layer(torch.randn(2, 3))
    assert y.dtype == computed == Precision(dtype).resolve(CPU)
    y.sum().backward()
    assert layer.weight.dtype == layer.weight.grad.dtype == torch.float32


def test_outside_of_the_context_nothing_is_cast() -> None:
    with Precision("bfloat16").autocast(CPU):
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


def test_a_context_of_float32_leaves_an_outer_one() -> None:
    with Precision("bfloat16").autocast(CPU), Precision("float32").autocast(CPU):
        assert torch.is_autocast_enabled("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_auto_takes_bfloat16_where_there_are_units_for_it() -> None:
    device = torch.device("cuda")
    expected = torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float32
    assert Precision("auto").resolve(device) is expected
