"""Attention is the plain formula, head by head; the cache holds what it was given and never more than it can."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pretrain.model.attention import CausalSelfAttention, LayerCache, attend, attend_plainly
from pretrain.model.dropout import dropout, is_dropped, site_keys
from pretrain.pieces import NONE

D, HEADS = 12, 3
PLAIN = frozenset({"attention", "dropout"})


def plain(attention: CausalSelfAttention, x_TD: Tensor, key: int = 0) -> Tensor:
    """One sequence: the softmax of q k / sqrt(head_dim) over the positions up to each one, weighing the values.

    With dropout the weights lose those of site 0 after they were normalised.
    """
    p, T = attention.dropout, len(x_TD)
    K = D // HEADS
    q_TD, k_TD, v_TD = attention.qkv(x_TD).split(D, dim=-1)
    heads = []
    for head in range(HEADS):
        q_TK, k_TK, v_TK = (part[:, head * K : (head + 1) * K] for part in (q_TD, k_TD, v_TD))
        rows = []
        for t in range(len(x_TD)):
            weights = [float(torch.exp(q_TK[t] @ k_TK[s] / math.sqrt(K))) for s in range(t + 1)]
            kept = [w * (not is_dropped(key, 0, head * T + t, s, p)) / (1 - p) for s, w in enumerate(weights)]
            rows.append(sum(weight * v_TK[s] for s, weight in enumerate(kept)) / sum(weights))
        heads.append(torch.stack(rows))
    found: Tensor = attention.out(torch.cat(heads, dim=-1))
    return found


@pytest.fixture(params=[NONE, PLAIN])
def attention(request: pytest.FixtureRequest) -> CausalSelfAttention:
    torch.manual_seed(3)
    return CausalSelfAttention(D, HEADS, 0.0, request.param)


def test_attention_is_the_plain_formula(attention: CausalSelfAttention) -> None:
    x_BTD = torch.randn(2, 7, D)
    with torch.no_grad():
        expected = torch.stack([plain(attention, x_TD) for x_TD in x_BTD])
        torch.testing.assert_close(attention(x_BTD), expected)


@pytest.mark.parametrize("plain_pieces", [NONE, PLAIN])
def test_dropped_weights_are_the_plain_formula_s(plain_pieces: frozenset[str]) -> None:
    attention, x_BTD = CausalSelfAttention(D, HEADS, 0.4, plain_pieces), torch.randn(2, 7, D)
    keys_B = torch.tensor([5, -6])
    with torch.no_grad():
        expected = torch.stack([plain(attention, x_TD, key) for x_TD, key in zip(x_BTD, [5, -6], strict=True)])
        keys_2B2 = site_keys(keys_B, 2)
        torch.testing.assert_close(attention(x_BTD, None, keys_2B2), dropout(expected, 0.4, keys_2B2[1]))
        assert not torch.allclose(attention(x_BTD), expected)


@pytest.mark.parametrize(("T", "S"), [(1, 1), (9, 9), (70, 70), (1, 33)])  # the last follows a cache
@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_the_kernel_is_the_formula_with_its_gradients(T: int, S: int, probability: float) -> None:
    generator = torch.Generator().manual_seed(S)
    drawn = [torch.randn(2, 3, length, 8, generator=generator) for length in (T, S, S)]
    keys_B2 = site_keys(torch.tensor([5, -6]), 1)[0] if probability else None
    found = []
    for function in (attend, attend_plainly):
        leaves = [each.clone().requires_grad_() for each in drawn]
        y_BHTK = function(*leaves, T > 1, probability, keys_B2, dropout)
        y_BHTK.square().sum().backward()
        found.append([y_BHTK, *(each.grad for each in leaves)])
    for fast, formula in zip(*found, strict=True):
        torch.testing.assert_close(formula, fast, rtol=1e-4, atol=1e-5)


def test_positions_that_follow_a_cache_see_it(attention: CausalSelfAttention) -> None:
    x_BTD, cache = torch.randn(2, 7, D), LayerCache(capacity=7)
    with torch.no_grad():
        parts = [attention(x_BTD[:, :4], cache), *(attention(x_BTD[:, t : t + 1], cache) for t in range(4, 7))]
        torch.testing.assert_close(torch.cat(parts, dim=1), attention(x_BTD))
    assert cache.length == 7


def test_a_cache_returns_all_it_was_given_in_order() -> None:
    k_BHTK, v_BHTK = torch.randn(2, 3, 6, 4), torch.randn(2, 3, 6, 4)
    cache = LayerCache(capacity=9)
    for start, stop in ((0, 1), (1, 4), (4, 6)):
        keys, values = cache.extend(k_BHTK[:, :, start:stop], v_BHTK[:, :, start:stop])
        assert torch.equal(keys, k_BHTK[:, :, :stop])
        assert torch.equal(values, v_BHTK[:, :, :stop])


def test_a_full_cache_takes_nothing_more() -> None:
    one, cache = torch.zeros(1, 1, 2, 4), LayerCache(capacity=3)
    cache.extend(one, one)
    with pytest.raises(AssertionError):
        cache.extend(one, one)


def test_several_positions_never_follow_a_cache(attention: CausalSelfAttention) -> None:
    """The kernel's causal mask begins at the first key: they would see too little, without an error."""
    cache = LayerCache(capacity=7)
    attention(torch.randn(1, 2, D), cache)
    with pytest.raises(AssertionError):
        attention(torch.randn(1, 2, D), cache)
