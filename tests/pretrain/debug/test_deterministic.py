"""What can't be deterministic is named with its module and line, in place of torch's refusal."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pretrain.debug.deterministic import NotDeterministic, nondeterminism_named
from pretrain.model.transformer import Transformer

TRAIN = Path(__file__).parents[3] / "launch/train.py"


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


class Putting(nn.Module):
    """Writes twice to the same place: which one stays is up to the kernel."""

    def forward(self, x: Tensor, *others: Any) -> Tensor:
        return x + torch.zeros(3).put_(torch.tensor([1, 1]), torch.ones(2)).sum()


class PutsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return Putting()(gradient)


def told(model: nn.Module) -> str:
    ids_BT = torch.zeros(1, 8, dtype=torch.int64)
    with pytest.raises(NotDeterministic) as caught, nondeterminism_named(model):
        model.loss_sum(ids_BT, ids_BT)[0].backward()
    return str(caught.value)


@pytest.fixture
def model() -> Transformer:
    return Transformer(2, 2, 16, context_len=8, vocab_size=64)


def test_an_operation_is_named_with_its_module_and_line(model: Transformer) -> None:
    model.blocks[1].feed_forward = Putting()
    line = inspect.getsourcelines(Putting.forward)[1] + 1
    text = told(model)
    assert text.startswith("trainer.deterministic: true, but put_ has no deterministic kernel on this device; ")
    assert f"called by the module blocks.1.feed_forward, {__file__}:{line}: return x + torch.zeros(3).put_(" in text
    assert "set trainer.deterministic=false" in text


def test_in_a_backward_of_ones_own_its_line_is_named(model: Transformer) -> None:
    model.blocks[0].register_forward_hook(lambda module, inputs, output: PutsBackward.apply(output))
    text = told(model)
    assert "called by no module's own code: in the backward pass of one, " in text and "put_(torch.tensor" in text


def test_other_errors_are_left_alone(model: Transformer) -> None:
    with pytest.raises(RuntimeError, match="of another kind") as caught, nondeterminism_named(model):
        raise RuntimeError("of another kind")
    assert not isinstance(caught.value, NotDeterministic)


FAULT = """
import torch
from pretrain.model.feed_forward import FeedForward
real = FeedForward.forward
def forward(self, x_BTD, keys_B2=None):
    return real(self, x_BTD, keys_B2) + torch.zeros(3).put_(torch.tensor([1, 1]), torch.ones(2)).sum()
FeedForward.forward = forward
"""


@pytest.mark.slow
def test_a_run_ends_with_it_where_it_was_asked_to_be_deterministic(
    overrides: list[str], tmp_path: Path, one_thread: dict[str, str], typed: Any
) -> None:
    line = [*overrides, "trainer.max_steps=2", "trainer.preflight=none", "trainer.deterministic=true"]
    code, text = typed.start(TRAIN, line, tmp_path, one_thread, before=FAULT).wait()
    assert code == 2, text
    assert "error: trainer.deterministic: true, but put_ has no deterministic kernel" in text
    assert "called by the module blocks.0.feed_forward, " in text
