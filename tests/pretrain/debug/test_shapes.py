"""The table of layers, and the first one whose output is broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from pretrain.debug.rung import Finding, Verdict
from pretrain.debug.shapes import Shapes
from pretrain.run import Run


@pytest.fixture(scope="module")
def faults(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    return load_module(Path(__file__).with_name("faults.py"))


def test_every_layer_stands_in_the_table_once(make: Callable[..., Run], look: Callable[..., Finding]) -> None:
    run = make()
    found = look(Shapes(), run)
    assert found.verdict is Verdict.OK, found
    num_params = sum(parameter.numel() for parameter in run.model.parameters())
    assert found.figure.startswith(f"{num_params / 1e6:.1f} M parameters, ")
    rows = {row.split("  ")[0]: row for row in found.details}
    assert rows["blocks.0.attention.qkv x 8"].split("  ")[-1].strip() == "197.4 k"
    assert "(2, 64, 768) float32" in rows["blocks.0.attention.qkv x 8"]
    assert rows["final_norm"].endswith("512")
    assert len(run.model._forward_hooks) == len(run.model.final_norm._forward_hooks) == 0


def test_bf16_is_seen(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    found = look(Shapes(), small("precision=bf16"))
    assert found.verdict is Verdict.OK
    assert any("bfloat16" in row for row in found.details if "qkv" in row)


def test_nan_weights_are_a_stop_that_names_the_first_layer(
    small: Callable[..., Run], look: Callable[..., Finding], faults: ModuleType
) -> None:
    run = small()
    faults.poison(run, "blocks.1.feed_forward.up.weight")
    found = look(Shapes(), run)
    assert found.verdict is Verdict.STOP
    assert found.details[0].startswith("the output of blocks.1.feed_forward.up is the first that is not finite")
    assert found.details[1].startswith("not finite: blocks.1.feed_forward.up.weight")


def test_float64_is_a_warning(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    run = small()
    run.model.token_loss.register_forward_hook(lambda module, inputs, output: (output[0].double(), output[1]))
    found = look(Shapes(), run)
    assert found.verdict is Verdict.WARNING
    assert "float64" in found.details[0]
    assert torch.get_default_dtype() is torch.float32
