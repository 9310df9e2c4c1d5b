"""Norms, zeros and updates, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pretrain.watch.parameters import Update, sample, zero_shares


@pytest.mark.parametrize("size", [(1,), (100,), (64, 64), (128, 3)])
def test_a_sample_is_a_part_of_the_tensor_and_no_more_than_asked(size: tuple[int, ...]) -> None:
    values = torch.arange(torch.Size(size).numel()).view(size)
    assert torch.equal(sample(values, None), values.flatten())
    found = sample(values, 100)
    assert len(found) == min(100, values.numel()) or 50 < len(found) <= 100
    assert len(set(found.tolist())) == len(found)


def test_a_sample_of_a_matrix_comes_from_all_of_its_columns() -> None:
    columns = torch.arange(64).expand(4096, 64).contiguous()
    assert sample(columns, 1024).unique().tolist() == list(range(64))


def test_zero_shares_count_what_is_exactly_zero() -> None:
    values = torch.tensor([0.0, -0.0, 1e-30, 2.0])
    assert zero_shares([values, torch.zeros(3), None], values.device).tolist() == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("most", [None, 10_000])
def test_an_update_s_norm_is_that_of_the_difference(most: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = [(300, 200), (7,), (20, 1)]
    parameters = [nn.Parameter(torch.randn(size, generator=generator)) for size in sizes]
    before = [parameter.detach().double().numpy().copy() for parameter in parameters]
    update = Update(parameters, most)
    with torch.no_grad():
        for parameter in parameters:
            parameter += 0.01 * torch.randn(parameter.shape, generator=generator)
    moved, weights = update.norms()
    close = 1e-5 if most is None else 0.03  # of 60,000 elements 10,000 were taken: a part in 140
    for place, parameter in enumerate(parameters):
        after = parameter.detach().double().numpy()
        assert moved[place].item() == pytest.approx(np.linalg.norm(after - before[place]), rel=close)
        assert weights[place].item() == pytest.approx(np.linalg.norm(before[place]), rel=close)
