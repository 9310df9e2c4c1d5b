"""Causal self-attention, and the cache of keys and values that makes generation linear in its length."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
        dropout: probability of zeroing an attention weight or an output, in training only.
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.num_heads = num_heads
        self.dropout = dropout

    def forward(self, x_BTD: Tensor, cache: LayerCache | None = None) -> Tensor:
        B, T, D = x_BTD.shape
        heads = (B, T, self.num_heads, D // self.num_heads)
        q_BHTK, k_BHTK, v_BHTK = (part.view(heads).transpose(1, 2) for part in self.qkv(x_BTD).split(D, dim=-1))
        # is_causal and never a mask: a dense mask turns the flash kernels off, on CPUs too. A single position that
        # follows a cache sees everything, which is no mask at all.
        is_causal = T > 1
        if cache is not None:
            assert T == 1 or cache.length == 0, (T, cache.length)  # is_causal aligns at the first key
            k_BHTK, v_BHTK = cache.extend(k_BHTK, v_BHTK)
        dropout = self.dropout if self.training else 0.0
        y_BHTK = F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, dropout_p=dropout, is_causal=is_causal)
        y_BTD = y_BHTK.transpose(1, 2).reshape(B, T, D)
        return F.dropout(self.out(y_BTD), self.dropout, self.training)
