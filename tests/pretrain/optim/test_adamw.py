from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from foundation.errors import SettingError
from pretrain.optim.adamw import AdamW
from tests.pretrain.optim.stepping import (
    BAD,
    GOOD,
    LRS,
    WHOLE,
    bits,
    check_that_a_bad_step_changes_no_bit,
    give_gradients,
    make_model,
)

SETTINGS = {"beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1}


@pytest.fixture
def model() -> nn.Module:
    return make_model()


def torch_groups(model: nn.Module) -> list[dict[str, object]]:
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    return [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]


def numpy_adamw(weights: np.ndarray, gradients: list[np.ndarray], weight_decay: float) -> np.ndarray:
    """Algorithm 2 of arXiv:1711.05101 in float64, in its own words."""
    m, v = np.zeros_like(weights), np.zeros_like(weights)
    for t, (lr, gradient) in enumerate(zip(LRS, gradients, strict=True), start=1):
        m = 0.9 * m + 0.1 * gradient
        v = 0.95 * v + 0.05 * gradient**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.95**t)
        weights = weights - lr * (m_hat / (np.sqrt(v_hat) + 1e-8) + weight_decay * weights)
    return weights


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("grad_scales", [(1.0,) * 4, (1.0, 3.7, 1.2, 20.0)])  # Adam is blind to a constant one
def test_clean_steps_equal_float64(model: nn.Module, fused: bool, grad_scales: tuple[float, ...]) -> None:
    start = {name: parameter.detach().double().numpy().copy() for name, parameter in model.named_parameters()}
    gradients: dict[str, list[np.ndarray]] = {name: [] for name in start}
    optimizer = AdamW(1e-2, model, fused=fused, **SETTINGS)
    for step, (lr, grad_scale) in enumerate(zip(LRS, grad_scales, strict=True)):
        give_gradients(model, step, scale=grad_scale)
        for name, parameter in model.named_parameters():
            gradients[name].append(parameter.grad.double().numpy() / grad_scale)
        optimizer.step(lr, GOOD.clone(), torch.tensor(grad_scale))
    for name, parameter in model.named_parameters():
        expected = numpy_adamw(start[name], gradients[name], 0.1 if parameter.dim() > 1 else 0.0)
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=2e-5, atol=1e-7, err_msg=name)


def test_clean_steps_have_the_bits_of_torchs_own(model: nn.Module) -> None:
    torch.manual_seed(0)
    twin = nn.Sequential(nn.Embedding(7, 5), nn.LayerNorm(5), nn.Linear(5, 33))
    ours = AdamW(1e-2, model, **SETTINGS)
    theirs = torch.optim.AdamW(torch_groups(twin), lr=1e-2, betas=(0.9, 0.95), eps=1e-8, fused=True)
    for step, lr in enumerate(LRS):
        give_gradients(model, step)
        give_gradients(twin, step)
        ours.step(lr, GOOD.clone(), WHOLE.clone())
        for group in theirs.param_groups:
            group["lr"] = lr
        theirs.step()
    names = dict(twin.named_parameters())
    assert all(torch.equal(parameter, names[name]) for name, parameter in model.named_parameters())
    for name, tensor in ours.tensors().items():
        parameter, _, moment = name.rpartition(".")
        assert torch.equal(tensor, theirs.state[names[parameter]][moment]), name


def test_trainer_reference_takes_the_plain_update(model: nn.Module) -> None:
    plain_pieces, twin = frozenset({"adamw"}), make_model()
    ours = AdamW(1e-2, model, plain_pieces=plain_pieces, **SETTINGS)
    unfused = AdamW(1e-2, twin, fused=False, **SETTINGS)
    for step, lr in enumerate(LRS):
        for each, optimizer in ((model, ours), (twin, unfused)):
            give_gradients(each, step)
            optimizer.step(lr, GOOD.clone(), WHOLE.clone())
    expected = bits(twin, unfused)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in bits(model, ours).items())
    assert (ours.pieces, unfused.pieces) == ({"adamw"}, frozenset())
    with pytest.raises(SettingError, match=r"^fused: True is not allowed; give null: trainer\.reference"):
        AdamW(1e-2, model, fused=True, plain_pieces=plain_pieces)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("poison", [math.nan, math.inf, 1.0])
@pytest.mark.parametrize("done", [0, 3])  # a bad first step finds zeroed moments
def test_a_bad_step_changes_no_bit(model: nn.Module, fused: bool, poison: float, done: int) -> None:
    optimizer = AdamW(1e-2, model, fused=fused, **SETTINGS)
    assert len(optimizer.tensors()) == 5 * 3  # of each parameter its two moments and its counter
    check_that_a_bad_step_changes_no_bit(model, optimizer, poison, done)


@pytest.mark.parametrize("fused", [True, False])
def test_a_verdict_holds_for_its_own_step_only(model: nn.Module, fused: bool) -> None:
    optimizer = AdamW(1e-2, model, fused=fused, **SETTINGS)
    twin = make_model()
    undisturbed = AdamW(1e-2, twin, fused=fused, **SETTINGS)
    for step in range(5):
        give_gradients(model, step, scale=math.nan if step == 2 else 1.0)
        optimizer.step(1e-2, BAD.clone() if step == 2 else GOOD.clone(), WHOLE.clone())
        if step != 2:
            give_gradients(twin, step)
            undisturbed.step(1e-2, GOOD.clone(), WHOLE.clone())
    expected = bits(twin, undisturbed)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in bits(model, optimizer).items())


def test_state_exists_before_the_first_step_and_is_live(model: nn.Module) -> None:
    optimizer = AdamW(1e-2, model, **SETTINGS)
    before = optimizer.tensors()
    assert set(before) == {f"{n}.{m}" for n, _ in model.named_parameters() for m in ("exp_avg", "exp_avg_sq", "step")}
    assert not any(tensor.any() for tensor in before.values())
    give_gradients(model, 0)
    optimizer.step(1e-2, GOOD, WHOLE)
    assert all(tensor.any() for tensor in before.values())


def test_copying_into_the_tensors_restores_the_state(model: nn.Module) -> None:
    optimizer = AdamW(1e-2, model, **SETTINGS)
    give_gradients(model, 0)
    optimizer.step(1e-2, GOOD, WHOLE)
    saved = {
        name: tensor.detach().clone()
        for name, tensor in {**dict(model.named_parameters()), **optimizer.tensors()}.items()
    }
    give_gradients(model, 1)
    optimizer.step(1e-2, GOOD, WHOLE)
    expected = bits(model, optimizer)
    fresh = AdamW(1e-2, model, **SETTINGS)
    with torch.no_grad():
        for name, tensor in {**dict(model.named_parameters()), **fresh.tensors()}.items():
            tensor.copy_(saved[name])
    give_gradients(model, 1)
    fresh.step(1e-2, GOOD, WHOLE)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in bits(model, fresh).items())


@pytest.mark.parametrize("fused", [True, False])
def test_a_parameter_without_gradient_stays(model: nn.Module, fused: bool) -> None:
    optimizer = AdamW(1e-2, model, fused=fused, **SETTINGS)
    give_gradients(model, 0)
    model[0].weight.grad = None
    model[1].weight.grad = model[1].bias.grad = model[2].bias.grad = None  # a whole group without
    before = bits(model, optimizer)
    optimizer.step(1e-2, GOOD, WHOLE)
    changed = {name for name, tensor in bits(model, optimizer).items() if not torch.equal(tensor, before[name])}
    assert changed == {"2.weight", "2.weight.exp_avg", "2.weight.exp_avg_sq", "2.weight.step"}


def test_zero_grad_drops_the_gradients(model: nn.Module) -> None:
    optimizer = AdamW(1e-2, model, **SETTINGS)
    give_gradients(model, 0)
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.bad_input(51)
@pytest.mark.parametrize(
    ("setting", "value"),
    [("lr", 0.0), ("lr", math.inf), ("beta1", 1.0), ("beta2", -0.1), ("eps", 0.0), ("weight_decay", -1.0)],
)
def test_numbers_out_of_range(model: nn.Module, setting: str, value: float) -> None:
    with pytest.raises(SettingError, match=f"^{setting}: {value} is not allowed; give a number "):
        AdamW(**{"lr": 1e-2, **SETTINGS, setting: value}, model=model)


def test_fused_is_refused_where_it_cannot_skip() -> None:
    with pytest.raises(SettingError, match=r"^fused: True is not allowed; give null on meta: cpu and cuda have"):
        AdamW(1e-2, nn.Linear(2, 2, device="meta"), fused=True)
