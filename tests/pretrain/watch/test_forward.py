"""What a pass shows, against plain loops over the same numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from pretrain.model.transformer import Transformer
from pretrain.types import IGNORE
from pretrain.watch.forward import activation_figures, attention_figures, logit_figures, look_into
from tests.pretrain.watch.models import TwoLayerLSTM

VOCAB = 40


@pytest.fixture
def model() -> Transformer:
    return Transformer(2, 2, 16, 32, vocab_size=VOCAB, dropout=0.2)


def ids(rows: int = 3, length: int = 9) -> torch.Tensor:
    return torch.randint(0, VOCAB, (rows, length), generator=torch.Generator().manual_seed(2))


def test_attention_is_that_of_a_loop_over_queries() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(2, 3, 7, 4, generator=generator) for _ in "qk")
    scores, entropies = [], []
    for b, h, t in np.ndindex(2, 3, 7):
        row = [float(q[b, h, t].double() @ k[b, h, s].double()) / math.sqrt(4) for s in range(t + 1)]
        weights = np.exp(np.array(row) - max(row))
        weights /= weights.sum()
        scores.append(max(row))
        entropies.append(-(weights * np.log(weights)).sum())
    largest, entropy = attention_figures(q, k).tolist()
    assert largest == pytest.approx(max(scores), rel=1e-5)
    assert entropy == pytest.approx(np.mean(entropies), rel=1e-5)


def test_logits_are_told_over_the_positions_with_a_target() -> None:
    logits = torch.randn(2, 5, VOCAB, generator=torch.Generator().manual_seed(1)) * 3
    targets = ids(2, 5)
    targets[0, 3] = targets[1, 0] = IGNORE
    found = []
    for b, t in np.ndindex(2, 5):
        if targets[b, t] != IGNORE:
            probs = np.exp(logits[b, t].double().numpy())
            probs /= probs.sum()
            found.append([-(probs * np.log(probs)).sum(), probs.max(), probs[int(targets[b, t])]])
    expected = [*np.mean(found, axis=0), float(logits.abs().max())]
    assert logit_figures(logits, targets).tolist() == pytest.approx(expected, rel=1e-5)


def test_activations_are_told_over_all_elements() -> None:
    values = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1)) - 2
    expected = [values.numpy().mean(), values.numpy().std(), np.abs(values.numpy()).max()]
    assert activation_figures(values).tolist() == pytest.approx(expected, rel=1e-5)


def test_a_transformer_shows_its_layers_and_their_attention(model: Transformer) -> None:
    seen = look_into(model, ids())
    assert list(seen.activations) == ["token_embedding", "blocks.0", "blocks.1", "final_norm"]
    assert list(seen.attention) == ["blocks.0", "blocks.1"]
    assert seen.states_BTD is not None and seen.states_BTD.shape == (3, 9, 16)
    torch.testing.assert_close(functional.linear(seen.states_BTD, model.token_embedding.weight), seen.logits_BTV)
    x = model.token_embedding(ids()) + model.position_embedding.weight[:9]
    q, k = model.blocks[0].attention.queries_and_keys(model.blocks[0].attention_norm(x))  # type: ignore[operator, union-attr]
    torch.testing.assert_close(seen.attention["blocks.0"], attention_figures(q, k).detach())
    assert seen.activations["token_embedding"][0].item() == pytest.approx(model.token_embedding(ids()).mean().item())


def test_an_lstm_shows_its_layers_and_no_attention() -> None:
    model = TwoLayerLSTM(VOCAB)
    seen = look_into(model, ids())
    assert list(seen.activations) == ["embedding", "lstm", "head"] and seen.attention == {}
    torch.testing.assert_close(seen.states_BTD, model.lstm(model.embedding(ids()))[0].detach())


def test_the_model_and_the_generators_are_left_as_they_were(model: Transformer) -> None:
    model.train()
    model.blocks[1].eval()
    model.loss_sum(ids(), ids())[0].backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    modes = [module.training for module in model.modules()]
    state = torch.random.get_rng_state()
    look_into(model, ids())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(p.grad, gradients[name]) for name, p in model.named_parameters() if p.grad is not None)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_what_is_compiled_is_looked_into_uncompiled(model: Transformer) -> None:
    calls = []

    def compiled(*args: object, **kwargs: object) -> torch.Tensor:
        calls.append(1)
        found: torch.Tensor = model.blocks[0]._call_impl(*args, **kwargs)
        return found

    model.blocks[0]._compiled_call_impl = compiled
    seen = look_into(model, ids())
    assert calls == [] and "blocks.0" in seen.activations and "blocks.0" in seen.attention
    model(ids())
    assert calls == [1]
