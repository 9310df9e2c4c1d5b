"""SGD with momentum and decoupled weight decay, whose step is told on the device whether to happen."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from foundation.errors import require
from pretrain.optim.groups import split_by_decay
from pretrain.seats import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent; with momentum m, buffer b, gradient g and weight w, in each step

        b <- m b + g        w <- w - lr * weight_decay * w - lr * b      (nesterov: g + m b in place of b)

    as torch.optim.SGD without dampening, but for the decay: it is decoupled, as AdamW's here, so that
    `optim.weight_decay` means the same where a run changes from one to the other. A buffer that is zero makes the first
    step that of torch, which begins with the gradient itself.

    Args:
        lr: peak learning rate, which the schedule multiplies.
        model: its parameters lie on their device already.
        momentum: share of the buffer that each step keeps; 0 keeps no buffer.
        nesterov: look ahead by one more step of the momentum.
        weight_decay: each step a decayed weight shrinks by learning rate * weight_decay of itself.
    Raises:
        SettingError: a number out of its range, or nesterov without momentum.
    Source: Sutskever et al., ICML 2013 (momentum and its Nesterov form); Loshchilov and Hutter, arXiv:1711.05101,
        algorithm 1 (decoupled decay).
    """

    def __init__(
        self,
        lr: float,
        model: nn.Module,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        require(0 < lr < math.inf, "lr", lr, "a number above 0; 0.1 is the default")
        require(0 <= momentum < 1, "momentum", momentum, "a number from 0 to below 1; 0.9 is the default")
        require(momentum > 0 or not nesterov, "nesterov", nesterov, "false, or a momentum above 0")
        require(0 <= weight_decay < math.inf, "weight_decay", weight_decay, "a number from 0 up; 0 decays nothing")
        self.lr, self.momentum, self.nesterov = lr, momentum, nesterov
        decayed, others = split_by_decay(model)
        self._parameters = decayed | others
        self._decay = dict.fromkeys(decayed, weight_decay) | dict.fromkeys(others, 0.0)
        kept = self._parameters if momentum else {}
        self._buffers = {name: torch.zeros_like(each, requires_grad=False) for name, each in kept.items()}

    @torch.no_grad()
    def step(self, lr: float, bad: Tensor, grad_scale: Tensor) -> None:
        is_bad = bad != 0
        for name, parameter in self._parameters.items():
            if parameter.grad is None:
                continue
            update = gradient = parameter.grad / grad_scale
            if (buffer := self._buffers.get(name)) is not None:
                new = buffer * self.momentum + gradient
                update = torch.add(gradient, new, alpha=self.momentum) if self.nesterov else new
                buffer.copy_(torch.where(is_bad, buffer, new))
            decayed = parameter * (1 - lr * self._decay[name])
            # chosen by `where`: NaN times 0 would be NaN
            parameter.copy_(torch.where(is_bad, parameter, torch.add(decayed, update, alpha=-lr)))

    def zero_grad(self) -> None:
        for parameter in self._parameters.values():
            parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        return {f"{name}.momentum_buffer": buffer for name, buffer in self._buffers.items()}
