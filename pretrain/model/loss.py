"""The output head and its cross-entropy, chunk by chunk: the logits of a whole batch never exist at once.

Logits are by far the largest activation: 65,536 tokens x 50,304 words in float32 are 13 GB, and their gradient as much.
Here rows are taken in chunks; each chunk's logits give its loss and at once its gradients, then they are dropped. Three
matrix products, as without chunks, where recomputing in the backward would take four.

Source: the idea of Liger-Kernel's fused linear cross-entropy, arXiv:2410.10989, section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrain.pieces import NONE, choose
from pretrain.types import IGNORE

# Rows of logits that exist at once. On CPUs a chunk should stay near the cache and in memory that malloc gives again,
# yet each one passes over the whole (V, D) gradient. Forward and backward in CPU seconds, first with all logits held by
# torch's cross_entropy: V 16,384, D 256, 2,048 rows: 0.57; in chunks of 256 rows 0.37, 512 0.39, 1,024 0.43; V 50,304,
# D 768: 4.0; 256 rows 3.1, 512 3.1, 1,024 3.0. GPUs want large kernels: 8,192 rows of 50,304 float32 are 1.6 GB.
CPU_CHUNK_ROWS = 256
GPU_CHUNK_ROWS = 8192


class TokenLoss(nn.Module):
    """Token losses of the head `weight_VD`, in float32. A module without state, so it can be compiled alone.

    Args:
        chunk_rows: rows of logits that exist at once; None: CPU_CHUNK_ROWS or GPU_CHUNK_ROWS.
        plain_pieces: of which `loss` has all logits at once.
    """

    def __init__(self, chunk_rows: int | None = None, plain_pieces: frozenset[str] = NONE) -> None:
        super().__init__()
        self.chunk_rows = chunk_rows
        self._compute = choose("loss", plain_pieces, loss_in_chunks, loss_plainly)

    def forward(self, x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
        """Return () float32, the sum of nats over targets other than IGNORE, and (N,), those of each, without gradient.

        Args:
            x_ND: (N, D) final hidden states.
            weight_VD: (V, D) the head.
            targets_N: (N,) int64 ids, IGNORE where masked.
        """
        rows = self.chunk_rows or (CPU_CHUNK_ROWS if x_ND.device.type == "cpu" else GPU_CHUNK_ROWS)
        return self._compute(x_ND, weight_VD, targets_N, rows)


def loss_in_chunks(x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Return what `TokenLoss` returns; `rows` of logits exist at once."""
    dtype = _compute_dtype(x_ND)
    if torch.is_grad_enabled() and (x_ND.requires_grad or weight_VD.requires_grad):
        loss: tuple[Tensor, Tensor] = _LossAndGradients.apply(x_ND, weight_VD, targets_N, rows, dtype)  # type: ignore[no-untyped-call]
        return loss
    return _loss(x_ND, weight_VD, targets_N, rows, dtype)


def loss_plainly(x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Return the same by the formula: log(sum(exp(logits))) - logit of the target, its gradients by autograd.

    Args:
        rows: taken and not used: all logits are there at once, in float32.
    """
    dtype = _compute_dtype(x_ND)
    with torch.autocast(x_ND.device.type, enabled=False):
        keep_N = targets_N != IGNORE
        x_ND = torch.where(keep_N.unsqueeze(1), x_ND, 0.0)  # whatever a masked row holds, it adds nothing
        logits_NV = (x_ND.to(dtype) @ weight_VD.to(dtype).T).float()
        most_N1 = logits_NV.detach().amax(1, keepdim=True)
        log_sum_N = (logits_NV - most_N1).exp().sum(1).log() + most_N1.squeeze(1)
        target_N = logits_NV.gather(1, torch.where(keep_N, targets_N, 0).unsqueeze(1)).squeeze(1)
        nats_N = torch.where(keep_N, log_sum_N - target_N, 0.0)
    return nats_N.sum(), nats_N.detach()


class _LossAndGradients(torch.autograd.Function):
    """The loss, with gradients computed on the way forward, while each chunk's logits are there."""

    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, rows: int, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        weight = weight_VD.to(dtype)
        nats_N = torch.empty(x_ND.size(0), device=x_ND.device)
        dx_ND = torch.empty_like(x_ND)
        dweight_VD = torch.zeros_like(weight_VD, dtype=torch.float32)
        with torch.autocast(x_ND.device.type, enabled=False):  # dtypes are chosen here, by hand
            for chunk in _chunks(x_ND.size(0), rows):
                # a masked row becomes zeros here, in the narrow (C, D): it then adds nothing to the (V, D) gradient
                keep_C1 = (targets_N[chunk] != IGNORE).unsqueeze(1)
                x_CD = torch.where(keep_C1, x_ND[chunk].to(dtype), 0.0)
                log_probs_CV, nll_C1, target_C1 = _score(x_CD, weight, targets_N[chunk])
                nats_N[chunk] = torch.where(keep_C1, nll_C1, 0.0).squeeze(1)
                # d loss / d logits = probs - onehot(target)
                probs_CV = log_probs_CV.exp_()
                probs_CV.scatter_add_(1, target_C1, torch.full_like(nll_C1, -1.0))
                dlogits_CV = probs_CV.to(dtype)
                dx_ND[chunk] = torch.where(keep_C1, dlogits_CV @ weight, 0.0)
                if dtype is torch.float32:
                    dweight_VD.addmm_(dlogits_CV.T, x_CD)  # adds within the product: no (V, D) temporary
                else:
                    dweight_VD += dlogits_CV.T @ x_CD
        ctx.save_for_backward(dx_ND, dweight_VD.to(weight_VD.dtype))
        ctx.mark_non_differentiable(nats_N)
        return nats_N.sum(), nats_N

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dloss: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        dx_ND, dweight_VD = ctx.saved_tensors
        return dx_ND * dloss.to(dx_ND.dtype), dweight_VD * dloss, None, None, None


def _loss(x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, rows: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the loss alone, for evaluation."""
    weight = weight_VD.to(dtype)
    nats_N = torch.empty(x_ND.size(0), device=x_ND.device)
    with torch.autocast(x_ND.device.type, enabled=False):
        for chunk in _chunks(x_ND.size(0), rows):
            _, nll_C1, _ = _score(x_ND[chunk].to(dtype), weight, targets_N[chunk])
            nats_N[chunk] = torch.where((targets_N[chunk] != IGNORE).unsqueeze(1), nll_C1, 0.0).squeeze(1)
    return nats_N.sum(), nats_N


def _score(x_CD: Tensor, weight_VD: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return float32 log-probabilities (C, V), nats of the targets (C, 1) and the targets (C, 1), 0 where masked."""
    log_probs_CV = F.log_softmax(F.linear(x_CD, weight_VD).float(), dim=-1)
    target_C1 = torch.where(targets_C == IGNORE, 0, targets_C).unsqueeze(1)
    return log_probs_CV, -log_probs_CV.gather(1, target_C1), target_C1


def _chunks(num_rows: int, rows: int) -> Iterator[slice]:
    return (slice(start, min(start + rows, num_rows)) for start in range(0, num_rows, rows))


def _compute_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of the matrix products: autocast's where it is on."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype
