"""Models that are no transformers, as a user may write them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pretrain.seats import Model
from pretrain.types import IGNORE


class TwoLayerLSTM(Model):
    """Embedding, two recurrent layers, a head of its own."""

    def __init__(self, vocab_size: int, width: int = 16, context_len: int = 64) -> None:
        super().__init__()
        self.context_len = context_len
        self.embedding = nn.Embedding(vocab_size, width)
        self.lstm = nn.LSTM(width, width, num_layers=2, batch_first=True)
        self.head = nn.Linear(width, vocab_size)

    def init_weights(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1, generator=generator)

    def forward(self, inputs_BT: Tensor, cache: Any = None) -> Tensor:
        logits: Tensor = self.head(self.lstm(self.embedding(inputs_BT))[0]).float()
        return logits

    def loss_sum(self, inputs_BT: Tensor, targets_BT: Tensor, keys_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        logits_BVT = self(inputs_BT).transpose(1, 2)
        nats_BT = functional.cross_entropy(logits_BVT, targets_BT, ignore_index=IGNORE, reduction="none")
        return nats_BT.sum(), nats_BT.detach().sum(1)

    def new_cache(self) -> Any:
        return None

    def flops_per_token(self, seq_len: int) -> float:
        return 6.0 * sum(parameter.numel() for parameter in self.parameters())


class TwoExperts(TwoLayerLSTM):
    """One of two experts takes the whole batch: the other one's parameters are trained, and have no gradient then."""

    def __init__(self, vocab_size: int, width: int = 16, context_len: int = 64) -> None:
        super().__init__(vocab_size, width, context_len)
        self.experts = nn.ModuleList(nn.Linear(width, width) for _ in range(2))

    def forward(self, inputs_BT: Tensor, cache: Any = None) -> Tensor:
        hidden_BTD = self.experts[0](self.lstm(self.embedding(inputs_BT))[0])
        logits: Tensor = self.head(hidden_BTD).float()
        return logits


class OneExpertACall(TwoExperts):
    """The first token of a call says which expert takes all of it."""

    def forward(self, inputs_BT: Tensor, cache: Any = None) -> Tensor:
        expert = self.experts[int(inputs_BT[0, 0]) % 2]
        logits: Tensor = self.head(expert(self.lstm(self.embedding(inputs_BT))[0])).float()
        return logits
