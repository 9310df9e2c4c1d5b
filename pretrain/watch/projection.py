"""Vectors seen in two dimensions: their principal components, found on the device without a sync.

torch's own decompositions wait for the device to learn whether they converged. Here a block of directions is multiplied
by the covariance a fixed number of times; the small rest, of a few numbers a vector, is the host's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

DIRECTIONS = 8  # more than two: the plane converges as fast as the gap behind the eighth is wide
ROUNDS = 12


def reduced(vectors_ND: Tensor) -> Tensor:
    """Return (N, min(DIRECTIONS, D, N)) float32: the centred vectors in the space of their largest variances.

    Args:
        vectors_ND: (N, D).
    Source: subspace iteration, Halko et al., arXiv:0909.4061, algorithm 4.4, with a fixed start.
    """
    with torch.autocast(vectors_ND.device.type, enabled=False):
        x_ND = vectors_ND.detach().float()
        x_ND = x_ND - x_ND.mean(dim=0)
        count = min(DIRECTIONS, *x_ND.shape)
        basis_DK = _orthonormal(x_ND.T @ _start(len(x_ND), count, x_ND.device))
        for _ in range(ROUNDS):
            basis_DK = _orthonormal(x_ND.T @ (x_ND @ basis_DK))
        return x_ND @ basis_DK


def planar(reduced_NK: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return (N, 2) float64, the first two principal components, each with its largest value positive.

    Args:
        reduced_NK: of `reduced`, on the host. What is not finite gives NaN.
    """
    x_NK = reduced_NK.astype(np.float64)
    if not np.isfinite(x_NK).all():
        return np.full((len(x_NK), 2), np.nan)
    left_NK, sizes_K, _ = np.linalg.svd(x_NK, full_matrices=False)
    xy = np.zeros((len(x_NK), 2))
    found = (left_NK * sizes_K)[:, :2]
    peaks = found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])]
    xy[:, : found.shape[1]] = found * np.where(peaks < 0, -1.0, 1.0)
    return xy


def _start(num_rows: int, count: int, device: torch.device) -> Tensor:
    """Return (N, K) float32, fixed: cosines of different lengths, made on the device, because a draw would be of its
    kind of device."""
    rows = torch.arange(1, num_rows + 1, device=device, dtype=torch.float32).unsqueeze(1)
    columns = torch.arange(1, count + 1, device=device, dtype=torch.float32)
    return torch.cos(rows * (columns * 0.7548776662) + columns)


def _orthonormal(columns_DK: Tensor) -> Tensor:
    """Gram and Schmidt, twice: torch.linalg.qr may wait for the device."""
    done: list[Tensor] = []
    for column in columns_DK.unbind(dim=1):
        column = column / column.norm().clamp(min=1e-30)
        for _ in range(2):
            for other in done:
                column = column - (other @ column) * other
            column = column / column.norm().clamp(min=1e-30)
        done.append(column)
    return torch.stack(done, dim=1)
