"""A GPT-2 small enough for every test."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pretrain.model.transformer import Transformer

VOCAB, CONTEXT = 128, 24


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_model() -> Callable[..., Transformer]:
    def make(**changes: object) -> Transformer:
        sizes = {"num_layers": 2, "num_heads": 4, "d_model": 32, "context_len": CONTEXT, "vocab_size": VOCAB}
        return Transformer(**{**sizes, **changes})

    return make


@pytest.fixture
def ids_BT() -> torch.Tensor:
    return torch.randint(0, VOCAB, (3, CONTEXT), generator=torch.Generator().manual_seed(1))
