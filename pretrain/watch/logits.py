"""What logits say, by blocks of positions: nothing as large as they are is made of them."""

from __future__ import annotations

import torch
from torch import Tensor

from pretrain.types import IGNORE

BLOCK_LOGITS = 1 << 24  # that are copied at once: 64 MB, twice


def logit_sums(logits_BTV: Tensor, targets_BT: Tensor, block_logits: int = BLOCK_LOGITS) -> Tensor:
    """Return (5,) float32, sums over the positions with a target: entropy in nats, probability of the likeliest token
    and of the target; the number of these positions; and the largest absolute logit.

    Args:
        logits_BTV: (B, T, V) float32; rows that stand for no token are among them, as in the loss.
        targets_BT: (B, T) int64, IGNORE where masked.
        block_logits: that are copied at once, at least those of one position.
    """
    logits_NV, targets_N = logits_BTV.flatten(0, 1), targets_BT.flatten()
    rows = max(1, block_logits // logits_NV.size(1))
    blocks = zip(torch.split(logits_NV, rows), torch.split(targets_N, rows), strict=True)
    sums_3 = torch.stack([_sums_of_block(*block) for block in blocks]).sum(0)
    low, high = torch.aminmax(logits_NV)
    return torch.cat([sums_3, torch.stack([(targets_N != IGNORE).sum().float(), torch.maximum(-low, high)])])


def _sums_of_block(logits_RV: Tensor, targets_R: Tensor) -> Tensor:
    log_probs_RV = logits_RV.log_softmax(-1)
    is_target_R = targets_R != IGNORE
    target_R1 = torch.where(is_target_R, targets_R, 0).unsqueeze(-1)
    top_R, target_R = log_probs_RV.amax(-1).exp(), log_probs_RV.gather(-1, target_R1).squeeze(-1).exp()
    probs_RV = log_probs_RV.exp()
    # a token that a model forbids has -inf, of which 0 times is no number
    entropy_R = -probs_RV.mul_(log_probs_RV.clamp_(min=torch.finfo(torch.float32).min)).sum(-1)
    return torch.where(is_target_R, torch.stack([entropy_R, top_R, target_R]), 0.0).sum(1)


def logit_figures(sums_P5: Tensor) -> Tensor:
    """Return (4,) float32: means of entropy, probability of the likeliest token and of the target over the positions
    with a target, NaN where there is none; and the largest absolute logit.

    Args:
        sums_P5: (parts, 5) of `logit_sums`.
    """
    *sums_3, count = sums_P5[:, :4].sum(0)
    return torch.stack([*(each / count for each in sums_3), sums_P5[:, 4].amax()])
