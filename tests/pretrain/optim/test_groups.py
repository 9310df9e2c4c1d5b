from __future__ import annotations

from torch import nn

from pretrain.optim.groups import split_by_decay


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.conv = nn.Conv1d(3, 3, 2)
        self.norm = nn.LayerNorm(3)
        self.head = nn.Linear(3, 5)
        self.head.weight = self.embedding.weight


def test_matrices_decay_biases_and_norms_do_not() -> None:
    decayed, others = split_by_decay(Tied())
    assert set(decayed) == {"embedding.weight", "conv.weight"}  # the tied head stands once
    assert set(others) == {"conv.bias", "norm.weight", "norm.bias", "head.bias"}
