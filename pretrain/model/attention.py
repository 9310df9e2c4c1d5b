"""Causal self-attention, and the cache of keys and values that makes generation linear in its length."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pretrain.model.dropout import Drop, drop_of
from pretrain.pieces import NONE, choose


class LayerCache:
    """Keys and values of the positions one attention layer has seen.

    Args:
        capacity: positions it can hold, i.e. the model's context_len.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.length = capacity, 0
        self._keys_BHTK = self._values_BHTK = torch.empty(0)

    def extend(self, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Append new positions; return the keys and values of all positions so far."""
        B, H, T, K = k_BHTK.shape
        if self.length == 0:  # allocated here: only now are batch, device and (under autocast) dtype known
            self._keys_BHTK, self._values_BHTK = (k_BHTK.new_empty(B, H, self.capacity, K) for _ in "kv")
        start, self.length = self.length, self.length + T
        assert self.length <= self.capacity, (self.length, self.capacity)
        self._keys_BHTK[:, :, start : self.length] = k_BHTK
        self._values_BHTK[:, :, start : self.length] = v_BHTK
        return self._keys_BHTK[:, :, : self.length], self._values_BHTK[:, :, : self.length]


class CausalSelfAttention(nn.Module):
    """Multi-head attention of every position to itself and the ones before.

    Args:
        d_model: size of the last dim.
        num_heads: heads; divides d_model.
        dropout: probability of zeroing an attention weight or an output, where keys are given.
        plain_pieces: of which `attention` and `dropout` run plainly.
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float, plain_pieces: frozenset[str] = NONE) -> None:
        super().__init__()
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.num_heads = num_heads
        self.dropout = dropout
        self._attend = choose("attention", plain_pieces, attend, attend_plainly)
        self._drop = drop_of(plain_pieces)

    def forward(self, x_BTD: Tensor, cache: LayerCache | None = None, keys_2B2: Tensor | None = None) -> Tensor:
        """Return (B, T, D).

        Args:
            x_BTD: (B, T, D).
            cache: of the positions before, which the new ones join.
            keys_2B2: (2, B, 2) int32, `site_keys` of weights and output; None drops nothing.
        """
        B, T, D = x_BTD.shape
        q_BHTK, k_BHTK, v_BHTK = self._heads(x_BTD)
        is_causal = T > 1  # a single position that follows a cache sees everything, which is no mask at all
        if cache is not None:
            assert T == 1 or cache.length == 0, (T, cache.length)  # is_causal aligns at the first key
            k_BHTK, v_BHTK = cache.extend(k_BHTK, v_BHTK)
        of_weights, of_output = (None, None) if keys_2B2 is None else (keys_2B2[0], keys_2B2[1])
        y_BHTK = self._attend(q_BHTK, k_BHTK, v_BHTK, is_causal, self.dropout, of_weights, self._drop)
        y_BTD: Tensor = self.out(y_BHTK.transpose(1, 2).reshape(B, T, D))
        return y_BTD if of_output is None else self._drop(y_BTD, self.dropout, of_output)

    def queries_and_keys(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, H, T, K) queries and keys of an input, for people who look."""
        q_BHTK, k_BHTK, _ = self._heads(x_BTD)
        return q_BHTK, k_BHTK

    def _heads(self, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        B, T, D = x_BTD.shape
        heads = (B, T, self.num_heads, D // self.num_heads)
        q_BHTK, k_BHTK, v_BHTK = (part.view(heads).transpose(1, 2) for part in self.qkv(x_BTD).split(D, dim=-1))
        return q_BHTK, k_BHTK, v_BHTK


def attend(
    q_BHTK: Tensor,
    k_BHTK: Tensor,
    v_BHTK: Tensor,
    is_causal: bool,
    probability: float,
    keys_B2: Tensor | None,
    drop: Drop,
) -> Tensor:
    """Return (B, H, T, K), the values weighed by how well their keys fit each query: torch's kernels.

    Args:
        q_BHTK: (B, H, T, K) queries. k_BHTK: (B, H, S, K) keys. v_BHTK: (B, H, S, K) values.
        is_causal: whether position t of T sees the keys up to t alone; else all of them.
        probability: of dropping a weight.
        keys_B2: (B, 2) int32, of `site_keys`; None drops none.
        drop: `dropout`, or the plain one.
    """
    if keys_B2 is None:
        # is_causal and never a mask: a dense mask turns the flash kernels off, on CPUs too
        return F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=is_causal)
    # Masks are a function of keys, so computing again needs no random state: the weights of one layer at a time exist,
    # where kept for the backward they would be those of all.
    y_BHTK: Tensor = checkpoint(
        _attend_dropping, q_BHTK, k_BHTK, v_BHTK, is_causal, probability, keys_B2, drop,
        use_reentrant=False, preserve_rng_state=False,
    )  # fmt: skip
    return y_BHTK


def attend_plainly(
    q_BHTK: Tensor,
    k_BHTK: Tensor,
    v_BHTK: Tensor,
    is_causal: bool,
    probability: float,
    keys_B2: Tensor | None,
    drop: Drop,
) -> Tensor:
    """Return what `attend` returns, by the formula, in float32 or above: all weights in memory, nothing made again."""
    wide = torch.promote_types(q_BHTK.dtype, torch.float32)
    with torch.autocast(q_BHTK.device.type, enabled=False):
        scores_BHTS = q_BHTK.to(wide) @ k_BHTK.to(wide).transpose(-1, -2) / math.sqrt(q_BHTK.size(-1))
        if is_causal:
            sees_TS = torch.ones(scores_BHTS.shape[-2:], dtype=torch.bool, device=scores_BHTS.device).tril()
            scores_BHTS = scores_BHTS.masked_fill(~sees_TS, -torch.inf)
        fits_BHTS = (scores_BHTS - scores_BHTS.amax(-1, keepdim=True)).exp()
        weights_BHTS = fits_BHTS / fits_BHTS.sum(-1, keepdim=True)
        if keys_B2 is not None:
            weights_BHTS = drop(weights_BHTS, probability, keys_B2)
        return (weights_BHTS @ v_BHTK.to(wide)).to(v_BHTK.dtype)


def _attend_dropping(
    q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor, is_causal: bool, probability: float, keys_B2: Tensor, drop: Drop
) -> Tensor:
    """Attention with all weights in memory, (B, H, T, T): the kernels that need none draw masks of their own."""
    scores_BHTT = q_BHTK @ k_BHTK.transpose(-1, -2) * q_BHTK.size(-1) ** -0.5
    if is_causal:
        future_TT = torch.ones(scores_BHTT.shape[-2:], dtype=torch.bool, device=q_BHTK.device).triu_(1)
        scores_BHTT = scores_BHTT.masked_fill(future_TT, -torch.inf)
    weights_BHTT = scores_BHTT.softmax(-1, dtype=torch.promote_types(scores_BHTT.dtype, torch.float32))
    return drop(weights_BHTT, probability, keys_B2).to(v_BHTK.dtype) @ v_BHTK
