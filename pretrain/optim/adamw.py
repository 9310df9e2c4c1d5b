"""AdamW whose step is told on the device whether to happen, so the host never waits for a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from foundation.errors import require
from pretrain.optim.groups import split_by_decay
from pretrain.pieces import NONE
from pretrain.seats import Optimizer

# Where the fused kernel is known to leave everything as it is when told to: CUDA returns at once (FusedAdamKernel,
# `found_inf_ptr`), the CPU's is tested here. torch lists more devices (MPS, XPU); nobody has tried them with this.
FUSED_DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class _Group:
    """Parameters with one weight decay, their moments and step counters, in the same order."""

    weight_decay: float
    names: list[str]
    parameters: list[nn.Parameter]
    exp_avgs: list[Tensor]
    exp_avg_sqs: list[Tensor]
    steps: list[Tensor]


@dataclass(frozen=True, slots=True)
class _Update:
    """What one step is told. Passed on as arguments: a verdict kept from the step before would skip silently."""

    lr: float
    beta1: float
    beta2: float
    eps: float
    bad: Tensor
    grad_scale: Tensor


class AdamW(Optimizer):
    """Adam with decoupled weight decay on matrices, not on biases and norms.

    Args:
        lr: peak learning rate, which the schedule multiplies.
        model: its parameters lie on their device already.
        beta1: share of the running mean of gradients that each step keeps.
        beta2: share of the running mean of squared gradients that each step keeps.
        eps: added to the root of the second moment.
        weight_decay: each step a decayed weight shrinks by learning rate * weight_decay of itself.
        fused: torch's one-pass kernel; None takes it where the device has it. Without it, plain tensor operations give
            the same up to rounding.
        plain_pieces: of which `adamw` is these operations.
    Raises:
        SettingError: a number out of its range, fused on a device without the kernel or where trainer.reference asks
            for the plain update.
    Source: Loshchilov and Hutter, arXiv:1711.05101; beta2 0.95 as in GPT-3, arXiv:2005.14165, appendix B.
    """

    def __init__(
        self,
        lr: float,
        model: nn.Module,
        beta1: float = 0.9,
        beta2: float = 0.95,
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        fused: bool | None = None,
        plain_pieces: frozenset[str] = NONE,
    ) -> None:
        require(0 < lr < math.inf, "lr", lr, "a number above 0; 6e-4 is the default")
        require(0 <= beta1 < 1, "beta1", beta1, "a number from 0 to below 1; 0.9 is the default")
        require(0 <= beta2 < 1, "beta2", beta2, "a number from 0 to below 1; 0.95 is the default")
        require(0 < eps < math.inf, "eps", eps, "a number above 0; 1e-8 is the default")
        require(0 <= weight_decay < math.inf, "weight_decay", weight_decay, "a number from 0 up; 0 decays nothing")
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        decayed, others = split_by_decay(model)
        self._groups = [_new_group(decayed, weight_decay), _new_group(others, 0.0)]
        has_kernel = _has_kernel(fused, {p.device.type for p in model.parameters()})
        is_plain = "adamw" in plain_pieces
        require(not (fused and is_plain), "fused", fused, "null: trainer.reference has the plain update run")
        self.pieces = frozenset({"adamw"}) if has_kernel else NONE
        self._update_group = _fused_update if has_kernel and not is_plain else _plain_update

    @torch.no_grad()
    def step(self, lr: float, bad: Tensor, grad_scale: Tensor) -> None:
        update = _Update(lr, self.beta1, self.beta2, self.eps, bad, grad_scale)
        for group in self._groups:
            self._update_group(_with_gradients(group), update)

    def zero_grad(self) -> None:
        for group in self._groups:
            for parameter in group.parameters:
                parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        live = {}
        for group in self._groups:
            for i, name in enumerate(group.names):
                live[f"{name}.exp_avg"] = group.exp_avgs[i]
                live[f"{name}.exp_avg_sq"] = group.exp_avg_sqs[i]
                live[f"{name}.step"] = group.steps[i]
        return live


def _new_group(named: dict[str, nn.Parameter], weight_decay: float) -> _Group:
    parameters = list(named.values())
    exp_avgs, exp_avg_sqs = ([torch.zeros_like(p, requires_grad=False) for p in parameters] for _ in "mv")
    steps = [torch.zeros((), dtype=torch.float32, device=p.device) for p in parameters]
    return _Group(weight_decay, list(named), parameters, exp_avgs, exp_avg_sqs, steps)


def _with_gradients(group: _Group) -> _Group:
    """Return the part of the group that took part in this step's loss."""
    with_gradient = [i for i, parameter in enumerate(group.parameters) if parameter.grad is not None]
    if len(with_gradient) == len(group.parameters):
        return group
    lists = (group.names, group.parameters, group.exp_avgs, group.exp_avg_sqs, group.steps)
    return _Group(group.weight_decay, *([part[i] for i in with_gradient] for part in lists))  # type: ignore[arg-type]


def _fused_update(group: _Group, update: _Update) -> None:
    """One pass of torch's kernel. It writes the clipped gradients back; where `bad` is 1 it writes nothing at all."""
    if not group.parameters:
        return
    adamw(
        params=list[Tensor](group.parameters),
        grads=[p.grad for p in group.parameters if p.grad is not None],
        exp_avgs=group.exp_avgs,
        exp_avg_sqs=group.exp_avg_sqs,
        max_exp_avg_sqs=[],
        state_steps=group.steps,
        fused=True,
        grad_scale=update.grad_scale,
        found_inf=update.bad,
        amsgrad=False,
        beta1=update.beta1,
        beta2=update.beta2,
        lr=update.lr,
        weight_decay=group.weight_decay,
        eps=update.eps,
        maximize=False,
    )


def _plain_update(group: _Group, update: _Update) -> None:
    """The same in plain operations. Old values are chosen by `where`: NaN times 0 would be NaN."""
    is_bad = update.bad != 0
    beta1, beta2 = update.beta1, update.beta2
    for p, m, v, step in zip(group.parameters, group.exp_avgs, group.exp_avg_sqs, group.steps, strict=True):
        assert p.grad is not None
        gradient = p.grad / update.grad_scale
        new_m = torch.lerp(m, gradient, 1 - beta1)
        new_v = beta2 * v + (1 - beta2) * gradient.square()
        new_step = step + 1
        denominator = (new_v / (1 - beta2**new_step)).sqrt() + update.eps
        decayed = p * (1 - update.lr * group.weight_decay)
        new_p = decayed - update.lr / (1 - beta1**new_step) * new_m / denominator
        for old, new in ((p, new_p), (m, new_m), (v, new_v), (step, new_step)):
            old.copy_(torch.where(is_bad, old, new))


def _has_kernel(fused: bool | None, device_types: set[str]) -> bool:
    """Return whether the fused kernel would be taken.

    Raises:
        SettingError: it is asked for, and a device has none.
    """
    has_kernel = device_types <= set(FUSED_DEVICES)
    allowed = (
        f"null on {', '.join(sorted(device_types))}: {' and '.join(FUSED_DEVICES)} have a kernel that can skip a step"
    )
    require(has_kernel or not fused, "fused", fused, allowed)
    return has_kernel and fused is not False
