"""Models with faults, for the ladder to find."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pretrain.run import Run
from pretrain.seats import Model


class Peeks(nn.Module):
    """In place of a layer: adds a little of the position ahead."""

    def __init__(self, layer: nn.Module, by: float) -> None:
        super().__init__()
        self.layer, self.by = layer, by

    def forward(self, x_BTD: Tensor, *rest: object) -> Tensor:
        y_BTD: Tensor = self.layer(x_BTD, *rest)
        ahead_BTD = torch.cat([y_BTD[:, 1:], torch.zeros_like(y_BTD[:, :1])], dim=1)
        return y_BTD + self.by * ahead_BTD


class Detached(nn.Module):
    """In place of a layer: cuts the graph behind it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *inputs: object) -> Tensor:
        y: Tensor = self.layer(*inputs)
        return y.detach()


class Gated(nn.Module):
    """In place of a layer: times a gate that begins at zero and is learnt, or stays."""

    def __init__(self, layer: nn.Module, learns: bool) -> None:
        super().__init__()
        self.layer, self.learns = layer, learns
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, *inputs: object) -> Tensor:
        y: Tensor = self.layer(*inputs)
        return y * (self.gate if self.learns else 0 * self.gate)


def peeking_loss(model: Model) -> None:
    """Have the loss of training alone see the targets, where `forward` is right."""
    honest = model.loss_sum

    def loss_sum(inputs_BT: Tensor, targets_BT: Tensor, keys_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total, losses_B = honest(inputs_BT, targets_BT, keys_B)
        return total + 1e-4 * inputs_BT[:, -1].sum(), losses_B

    model.loss_sum = loss_sum  # type: ignore[method-assign]


def poison(run: Run, name: str) -> None:
    """Make one number of a parameter NaN."""
    with torch.no_grad():
        run.model.get_parameter(name).view(-1)[3] = float("nan")
