from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from foundation.errors import SettingError
from pretrain.optim.sgd import SGD
from tests.pretrain.optim.stepping import (
    GOOD,
    LRS,
    WHOLE,
    bits,
    check_that_a_bad_step_changes_no_bit,
    give_gradients,
    make_model,
)

FORMS = [(0.0, False), (0.9, False), (0.9, True)]


@pytest.mark.parametrize(("momentum", "nesterov"), FORMS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_clean_steps_have_the_bits_of_torchs_own(momentum: float, nesterov: bool, weight_decay: float) -> None:
    model, twin = make_model(), make_model()
    ours = SGD(1e-2, model, momentum, nesterov, weight_decay)
    theirs = torch.optim.SGD(twin.parameters(), lr=1e-2, momentum=momentum, nesterov=nesterov, foreach=False)
    for step, lr in enumerate(LRS):
        give_gradients(model, step)
        give_gradients(twin, step)
        ours.step(lr, GOOD.clone(), WHOLE.clone())
        theirs.param_groups[0]["lr"] = lr
        with torch.no_grad():  # torch's own decay is coupled; AdamW's decoupled one is this line
            for parameter in twin.parameters():
                parameter.mul_(1 - lr * (weight_decay if parameter.dim() > 1 else 0.0))
        theirs.step()
    names = dict(twin.named_parameters())
    assert all(torch.equal(parameter, names[name]) for name, parameter in model.named_parameters())
    assert len(ours.tensors()) == (5 if momentum else 0)
    for name, tensor in ours.tensors().items():
        assert torch.equal(tensor, theirs.state[names[name.removesuffix(".momentum_buffer")]]["momentum_buffer"]), name


@pytest.mark.parametrize(("momentum", "nesterov"), FORMS)
def test_clipped_steps_equal_float64(momentum: float, nesterov: bool) -> None:
    model = make_model()
    weights = {name: each.detach().double().numpy().copy() for name, each in model.named_parameters()}
    buffers = {name: np.zeros_like(each) for name, each in weights.items()}
    optimizer = SGD(1e-2, model, momentum, nesterov, weight_decay=0.1)
    for step, (lr, scale) in enumerate(zip(LRS, (1.0, 3.7, 1.2, 20.0), strict=True)):
        give_gradients(model, step, scale)
        for name, parameter in model.named_parameters():
            gradient = parameter.grad.double().numpy() / scale
            buffers[name] = momentum * buffers[name] + gradient
            update = gradient + momentum * buffers[name] if nesterov else buffers[name]
            weights[name] = weights[name] * (1 - lr * 0.1 * (weights[name].ndim > 1)) - lr * update
        optimizer.step(lr, GOOD.clone(), torch.tensor(scale))
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(parameter.detach().numpy(), weights[name], rtol=2e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize(("momentum", "nesterov"), FORMS)
@pytest.mark.parametrize("poison", [math.nan, math.inf, 1.0])
@pytest.mark.parametrize("done", [0, 3])
def test_a_bad_step_changes_no_bit(momentum: float, nesterov: bool, poison: float, done: int) -> None:
    model = make_model()
    optimizer = SGD(1e-2, model, momentum, nesterov, weight_decay=0.1)
    check_that_a_bad_step_changes_no_bit(model, optimizer, poison, done)


def test_state_exists_before_the_first_step_and_is_live() -> None:
    model = make_model()
    optimizer = SGD(1e-2, model)
    before = optimizer.tensors()
    assert set(before) == {f"{name}.momentum_buffer" for name, _ in model.named_parameters()}
    assert not any(tensor.any() for tensor in before.values())
    give_gradients(model, 0)
    optimizer.step(1e-2, GOOD, WHOLE)
    assert all(tensor.any() for tensor in before.values())
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_parameter_without_gradient_stays() -> None:
    model = make_model()
    optimizer = SGD(1e-2, model, weight_decay=0.1)
    give_gradients(model, 0)
    model[0].weight.grad = None
    before = bits(model, optimizer)
    optimizer.step(1e-2, GOOD, WHOLE)
    after = bits(model, optimizer)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {"0.weight", "0.weight.momentum_buffer"}


@pytest.mark.parametrize(
    ("setting", "value"),
    [("lr", 0.0), ("lr", math.inf), ("momentum", 1.0), ("momentum", -0.1), ("weight_decay", -1.0)],
)
def test_numbers_out_of_range(setting: str, value: float) -> None:
    with pytest.raises(SettingError, match=f"^{setting}: {value} is not allowed; give a number "):
        SGD(**{"lr": 1e-2, setting: value}, model=make_model())


def test_nesterov_needs_a_momentum() -> None:
    with pytest.raises(SettingError, match=r"^nesterov: True is not allowed; give false, or a momentum above 0"):
        SGD(1e-2, make_model(), momentum=0.0, nesterov=True)
