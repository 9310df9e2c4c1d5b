"""Models with faults, for the ladder to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.optim.adamw import AdamW
from pretrain.parallel.ddp import LossSum
from pretrain.run import Run
from pretrain.seats import Model
from pretrain.types import IGNORE


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


class Recurrent(Model):
    """No transformer: a GRU under a head of its own, whose loss has all logits at once."""

    def __init__(self, vocab_size: int, width: int = 16) -> None:
        super().__init__()
        self.context_len = 1 << 30
        self.embedding, self.recurrent = nn.Embedding(vocab_size, width), nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, vocab_size)

    def init_weights(self, seed: int) -> None:
        torch.manual_seed(seed)

    def loss_sum(self, inputs_BT: Tensor, targets_BT: Tensor, keys_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        logits_BVT = self(inputs_BT).transpose(1, 2)
        nats_BT = nn.functional.cross_entropy(logits_BVT, targets_BT, ignore_index=IGNORE, reduction="none")
        return nats_BT.sum(), nats_BT.detach().sum(dim=1)

    def forward(self, inputs_BT: Tensor, cache: Any = None) -> Tensor:
        hidden_BTD, state = self.recurrent(self.embedding(inputs_BT), cache[0] if cache else None)
        if cache is not None:
            cache[:] = [state]
        logits: Tensor = self.head(hidden_BTD)
        return logits.float()

    def new_cache(self) -> Any:
        return []  # the state, once it has read something

    def flops_per_token(self, seq_len: int) -> float:
        return 6.0 * sum(parameter.numel() for parameter in self.parameters())


def with_model(run: Run, model: Model) -> Run:
    """Return the run with another model, its optimizer and its wrapper."""
    return replace(run, model=model, wrapped=LossSum(model), optimizer=AdamW(6e-4, model))


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


class Expert(nn.Module):
    """In place of a layer: adds a branch of its own that only some calls take."""

    def __init__(self, layer: nn.Module, width: int, takes: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self.layer, self.takes = layer, takes
        self.branch = nn.Linear(width, width)

    def forward(self, x_BTD: Tensor, *rest: object) -> Tensor:
        y_BTD: Tensor = self.layer(x_BTD, *rest)
        return y_BTD + self.branch(x_BTD) if self.takes(x_BTD) else y_BTD


class RoundsByWhatFollows(nn.Module):
    """In place of a layer: adds a number and takes it away again, which one hangs on the last position."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x_BTD: Tensor, *rest: object) -> Tensor:
        y_BTD: Tensor = self.layer(x_BTD, *rest)
        far = y_BTD.abs().amax() * (2.0 + x_BTD[:, -1, 0].sin())
        return (y_BTD + far) - far


class Looks(nn.Module):
    """In place of a layer's attention: a second one without a mask, of little weight."""

    def __init__(self, attention: nn.Module, weight: float) -> None:
        super().__init__()
        self.attention, self.weight = attention, weight

    def forward(self, x_BTD: Tensor, *rest: object) -> Tensor:
        y_BTD: Tensor = self.attention(x_BTD, *rest)
        scores_BTT = (x_BTD @ x_BTD.mT / x_BTD.size(-1) ** 0.5).softmax(dim=-1)
        return y_BTD + self.weight * (scores_BTT @ x_BTD).to(y_BTD.dtype)
