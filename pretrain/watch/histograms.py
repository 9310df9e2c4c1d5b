"""Histograms with fixed bins, the same in every step and run: four a decade, for each sign, and one around 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

SMALLEST, LARGEST = -12, 6  # powers of ten between which bins lie; what is beyond counts in the last ones
PER_DECADE = 4
_UP = 10.0 ** (np.arange(SMALLEST * PER_DECADE, LARGEST * PER_DECADE + 1) / PER_DECADE)
EDGES = np.concatenate([-_UP[::-1], _UP]).astype(np.float32)  # (bins + 1,) rising
NUM_BINS = len(EDGES) - 1
PIECE_VALUES = 1 << 22  # that are sorted into bins at once: places and ones of each are 16 bytes


def edges_on(device: torch.device) -> Tensor:
    """Return (NUM_BINS + 1,) float32, the edges on a device."""
    return torch.from_numpy(EDGES).to(device, non_blocking=True)


def counts_of(values: Tensor, edges: Tensor, piece_values: int = PIECE_VALUES) -> Tensor:
    """Return (NUM_BINS,) int64: how many values lie in each bin [edge, next edge). What is not finite is in none.

    No host sync, where torch.bincount has one, and in the deterministic mode no error, where torch.histc has one.

    Args:
        values: of any shape. edges: of `edges_on`. piece_values: that are copied at once.
    """
    counts = torch.zeros(NUM_BINS + 1, dtype=torch.int64, device=values.device)
    for piece in torch.split(values.detach().reshape(-1), piece_values):
        flat = piece.float().contiguous()
        places = torch.bucketize(flat, edges, right=True).clamp_(1, NUM_BINS).sub_(1)
        places.masked_fill_(~torch.isfinite(flat), NUM_BINS)
        counts.scatter_add_(0, places, torch.ones_like(places))
    return counts[:-1]


def trimmed(counts: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """Return {"edges": (n + 1), "counts": (n)} from the first to the last bin that holds something; n is 0 or more.

    Args:
        counts: (NUM_BINS,) of `counts_of`, or a sum of such ones.
    """
    rounded = np.rint(np.asarray(counts, dtype=np.float64)).astype(np.int64)
    held = np.flatnonzero(rounded)
    if not len(held):
        return {"edges": [], "counts": []}
    first, last = int(held[0]), int(held[-1])
    return {
        "edges": [float(f"{edge:.4g}") for edge in EDGES[first : last + 2]],
        "counts": rounded[first : last + 1].tolist(),
    }
