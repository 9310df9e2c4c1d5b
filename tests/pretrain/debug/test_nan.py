"""What first is not finite is found at the module, operation and line where it was put, in forward and in backward."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pretrain.debug.nan import NanHunt, NoDebug, NotFinite
from pretrain.mesh import Mesh
from pretrain.metrics.lines import read_metrics
from pretrain.model.bigram import Bigram
from pretrain.model.lstm import LSTM
from pretrain.model.transformer import Transformer
from pretrain.run import Run, state_of
from pretrain.seats import Model
from pretrain.train import train

SIZES = {"d_model": 16, "context_len": 12, "vocab_size": 64}
PLACE = "step 3"
IDS = torch.randint(64, (2, 2, 12), generator=torch.Generator().manual_seed(1))
TRAIN = Path(__file__).parents[3] / "launch/train.py"


def a_step(model: Model) -> None:
    with NanHunt(model).watching(lambda: PLACE):
        model.loss_sum(IDS[0], IDS[1], torch.arange(2))[0].backward()


def transformer(**changes: Any) -> Transformer:
    return Transformer(**{"num_layers": 2, "num_heads": 2, **SIZES, **changes})


def found(model: Model) -> str:
    with pytest.raises(NotFinite) as caught:
        a_step(model)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    return str(caught.value)


@pytest.mark.parametrize(
    "model", [transformer(), transformer(dropout=0.2), LSTM(2, **SIZES, dropout=0.2), Bigram(**SIZES)]
)
@pytest.mark.parametrize("autocast", [False, True])
def test_a_sound_step_is_let_through_with_the_same_bits(model: Model, autocast: bool) -> None:
    def gradients(watch: Any) -> list[Tensor]:
        model.zero_grad()
        with watch, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            model.loss_sum(IDS[0], IDS[1], torch.arange(2))[0].backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    plain, watched = (gradients(each.watching(lambda: PLACE)) for each in (NoDebug(), NanHunt(model)))
    assert all(torch.equal(one, other) for one, other in zip(plain, watched, strict=True))


class Faulty(nn.Module):
    """A layer that computes what it is told to before the one that it stands for."""

    def __init__(self, layer: nn.Module, fault: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.fault = layer, fault

    def forward(self, x: Tensor, *others: Any) -> Tensor:
        return self.layer(self.fault(x), *others)


def line_of(function: Callable[..., Any]) -> str:
    return f"{__file__}:{inspect.getsourcelines(function)[1]}"


FORWARD = {
    "aten.log.default": lambda x: x + (x * 0 - 1).log(),
    "aten.sqrt.default": lambda x: x + (x * 0 - 4).sqrt(),
    "aten.div.Tensor": lambda x: x + x / (x * 0),
    "aten.exp.default": lambda x: x + (x * 0 + 1000).exp(),
    "aten._to_copy.default": lambda x: x + (x * 0 + 1e30).half().float(),
    "aten.div_.Tensor": lambda x: x + (x * 0).div_(x * 0),
}


@pytest.mark.parametrize("operation", FORWARD)
def test_a_forward_operation_is_named_with_module_line_and_inputs(operation: str) -> None:
    model, fault = transformer(), FORWARD[operation]
    model.blocks[1].feed_forward = Faulty(model.blocks[1].feed_forward, fault)
    told = found(model)
    assert "not finite, in the forward\n  module: blocks.1.feed_forward\n" in told
    assert f"  operation: {operation}\n  line: {line_of(fault)}: " in told
    assert f"\n  place: {PLACE}\nlook at" in told
    ranges = {"aten.log.default": "-1 to -1", "aten.exp.default": "1000 to 1000"}
    assert f"  input 0: [2, 12, 16] float32, {ranges.get(operation, '')}" in told
    assert "  result: [2, 12, 16] float" in told and ("384 " in told)


BACKWARD = {
    # finite forward, and a gradient of 0 * inf or of 1 / 0
    "SqrtBackward0": lambda x: x + (x * 0).sqrt(),
    "PowBackward0": lambda x: x + (x * 0).abs() ** 0.5,
}


@pytest.mark.parametrize("node", BACKWARD)
def test_a_backward_operation_is_named_with_the_module_and_line_that_made_it(node: str) -> None:
    model, fault = transformer(), BACKWARD[node]
    model.blocks[0].attention = Faulty(model.blocks[0].attention, fault)
    told = found(model)
    assert f"not finite, in the backward of {node}\n  module: blocks.0.attention\n  operation: aten." in told
    assert f"  line: {line_of(fault)}: " in told and "  input 0: [2, 12, 16] float32, " in told


class Huge(torch.autograd.Function):
    """Passes on what it is given, with a gradient that overflows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return (gradient.sign() + 2) * 1e30 * 1e30


def test_a_backward_of_ones_own_is_found_on_its_own_line() -> None:
    model = transformer()
    model.blocks[1].feed_forward = Faulty(model.blocks[1].feed_forward, Huge.apply)
    told = found(model)
    assert "in the backward of HugeBackward\n  module: blocks.1.feed_forward\n  operation: aten.mul.Tensor\n" in told
    assert "return self.layer(self.fault(x), *others)" in told


def test_a_mask_of_minus_infinity_is_none_but_a_row_that_is_all_masked_is() -> None:
    model = transformer()

    def masked(x: Tensor) -> Tensor:
        hidden = torch.arange(16) > 3
        return x + x.masked_fill(hidden, -torch.inf).softmax(-1)

    model.blocks[0].feed_forward = Faulty(model.blocks[0].feed_forward, masked)
    a_step(model)
    model.blocks[0].feed_forward.fault = lambda x: x + x.masked_fill(x == x, -torch.inf).softmax(-1)
    told = found(model)
    assert "  operation: aten._softmax.default\n" in told and "384 -inf\n" in told


def test_a_weight_that_is_not_finite_is_named_before_the_step() -> None:
    model = LSTM(2, **SIZES)
    model.layers[1].weight_hh_l0.data[3, 4] = torch.inf
    told = found(model)
    assert told.startswith("debug: before the forward pass layers.1.weight_hh_l0 is not finite: [64, 16] float32, -")
    assert ", 1 inf; the update before did it" in told and told.endswith(f"\n  place: {PLACE}")


@pytest.fixture
def runs(worker: ModuleType, overrides: list[str]) -> Callable[..., Run]:
    def make(debug: str) -> Run:
        return worker.make_run(
            Mesh(0, 1, 0, torch.device("cpu")), [*overrides, f"debug='{debug}'", "trainer.max_steps=2"]
        )

    return make


def test_a_run_under_the_hunt_is_the_same_run(runs: Callable[..., Run]) -> None:
    states = []
    for debug in ("none", "nan"):
        run = runs(debug)
        train(run)
        run.loader.close()
        states.append(state_of(run).tensors)
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_a_run_that_ends_by_it_names_step_and_samples_and_has_the_lines_of_the_steps_before(
    runs: Callable[..., Run], worker: ModuleType, tmp_path: Path
) -> None:
    run = runs("nan")
    worker.Poison(run, 1)
    batch = run.loader.micro_batches(1)[0]
    with pytest.raises(NotFinite) as caught:
        train(run)
    run.loader.close()
    run.log.close("failed")
    samples = f"samples {batch.samples.min()} to {batch.samples.max()}"
    assert f"\n  place: step 2, batch 1, micro batch 1 of rank 0: {samples}\nlook at" in str(caught.value)
    assert [line["step"] for line in read_metrics(tmp_path / "run/metrics.jsonl")] == [1]


# the activations of a block that overflow in the second step
FAULT = """
import itertools
import torch
from pretrain.model.feed_forward import FeedForward
real, calls = FeedForward.forward, itertools.count()
def forward(self, x_BTD, keys_B2=None):
    y_BTD = real(self, x_BTD, keys_B2)
    return y_BTD * 1e30 * 1e30 if self.training and next(calls) == 11 else y_BTD
FeedForward.forward = forward
"""


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_run_ends_at_the_operation_and_says_it(
    overrides: list[str], tmp_path: Path, one_thread: dict[str, str], typed: Any, ranks: int
) -> None:
    line = [*overrides, "debug=nan", "trainer.preflight=none"]  # whose look would find it first
    code, text = typed.start(TRAIN, line, tmp_path, one_thread, ranks=ranks, before=FAULT).wait()
    assert code == 2, text
    assert (
        "error: debug: the first result that is not finite, in the forward\n  module: blocks.1.feed_forward\n" in text
    )
    assert "  operation: aten.mul.Tensor\n" in text and "  place: step " in text
