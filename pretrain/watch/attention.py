"""What attention does, seen from its queries and keys: by blocks of queries, so that (T, T) scores never exist."""

from __future__ import annotations

import torch
from torch import Tensor

# Scores that exist at once, 64 MB, and about as much beside them. All of a layer would be (heads, T, T): 800 MB at
# 12 heads and 4,096 positions, 52 GB at 32,768.
BLOCK_SCORES = 1 << 24


def attention_figures(q_BHTK: Tensor, k_BHTK: Tensor, block_scores: int = BLOCK_SCORES) -> Tensor:
    """Return (2,) float32 of causal attention: largest score q k / sqrt(K), mean entropy of a query's weights in nats.

    A block of queries is multiplied with the keys up to its last one alone, half of all scores.

    Args:
        q_BHTK, k_BHTK: (B, H, T, K) queries and keys, as they are multiplied.
        block_scores: scores that exist at once, at least those of one query of every head.
    """
    B, H, T, K = q_BHTK.shape
    rows = max(1, block_scores // (B * H * T))
    largest, entropies = [], []
    with torch.autocast(q_BHTK.device.type, enabled=False):
        k_BHKT = k_BHTK.float().transpose(-1, -2)
        for start in range(0, T, rows):
            stop = min(start + rows, T)
            q_BHRK = q_BHTK[:, :, start:stop].float() * K**-0.5
            scores_BHRS = q_BHRK @ k_BHKT[..., :stop]
            future_RS = torch.ones(scores_BHRS.shape[-2:], dtype=torch.bool, device=q_BHTK.device).triu_(start + 1)
            peaks_BHR1 = scores_BHRS.masked_fill_(future_RS, -torch.inf).amax(-1, keepdim=True)
            weights_BHRS = scores_BHRS.sub_(peaks_BHR1).exp()
            sums_BHR = weights_BHRS.sum(-1)
            # - sum p ln p, where p = weights / sums and ln p = scores - ln sums
            products_BHRS = scores_BHRS.masked_fill_(future_RS, 0.0).mul_(weights_BHRS)
            entropies.append((sums_BHR.log() - products_BHRS.sum(-1) / sums_BHR).sum())
            largest.append(peaks_BHR1.amax())
    return torch.stack([torch.stack(largest).amax(), torch.stack(entropies).sum() / (B * H * T)])


def plain_attention_figures(q_BHTK: Tensor, k_BHTK: Tensor) -> Tensor:
    """Return the same from all scores at once: what `attention_figures` is held against."""
    scores_BHTT = q_BHTK.float() @ k_BHTK.float().transpose(-1, -2) * q_BHTK.size(-1) ** -0.5
    future_TT = torch.ones(scores_BHTT.shape[-2:], dtype=torch.bool, device=scores_BHTT.device).triu_(1)
    log_weights_BHTT = scores_BHTT.masked_fill(future_TT, -torch.inf).log_softmax(-1)
    entropy_BHT = -(log_weights_BHTT.exp() * log_weights_BHTT.masked_fill(future_TT, 0.0)).sum(-1)
    return torch.stack([scores_BHTT.masked_fill(future_TT, -torch.inf).amax(), entropy_BHT.mean()])
