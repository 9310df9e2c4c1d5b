"""Counts in fixed bins, against NumPy's histogram."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pretrain.watch.histograms import EDGES, NUM_BINS, counts_of, edges_on, trimmed


@pytest.mark.parametrize("scale", [1e-14, 1e-7, 1.0, 3e7])
def test_counts_are_those_of_numpy(scale: float) -> None:
    values = scale * torch.randn(5, 400, generator=torch.Generator().manual_seed(1))
    clipped = np.clip(values.numpy(), EDGES[0], EDGES[-1])
    expected, _ = np.histogram(clipped, EDGES)
    for piece_values in (7, 1 << 22):
        assert counts_of(values, edges_on(values.device), piece_values).tolist() == expected.tolist()


def test_edges_zero_and_what_is_not_finite() -> None:
    assert np.all(np.diff(EDGES) > 0) and len(EDGES) == NUM_BINS + 1
    values = torch.tensor([0.0, -0.0, float("nan"), float("inf"), -float("inf"), *EDGES.tolist()])
    counts = counts_of(values, edges_on(values.device))
    assert counts.sum().item() == 2 + len(EDGES)
    assert counts[NUM_BINS // 2].item() == 3  # the middle bin has 0 twice and its own lower edge


def test_empty_ends_are_left_out() -> None:
    counts = np.zeros(NUM_BINS)
    counts[[10, 12]] = 3.4, 2.0
    found = trimmed(counts)
    assert found["counts"] == [3, 0, 2]
    assert found["edges"] == pytest.approx(EDGES[10:14].tolist(), rel=1e-3)
    assert trimmed(np.zeros(NUM_BINS)) == {"edges": [], "counts": []}
