"""Two principal components, against the whole decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pretrain.watch.projection import planar, reduced


def vectors(num: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor([9.0, 5.0] + [1.0] * (width - 2))[:width]
    turn = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
    return 3.0 + (torch.randn(num, width, generator=generator) * sizes) @ turn


@pytest.mark.parametrize(("num", "width"), [(300, 64), (20, 128), (50, 3)])
def test_it_is_the_plane_of_the_largest_variances(num: int, width: int) -> None:
    x = vectors(num, width)
    found = planar(reduced(x).numpy())
    centred = x.double().numpy() - x.double().numpy().mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :2] * sizes[:2]
    expected *= np.where(expected[np.abs(expected).argmax(axis=0), [0, 1]] < 0, -1, 1)
    np.testing.assert_allclose(found, expected, atol=2e-3 * sizes[0] / num**0.5)


def test_the_same_vectors_give_the_same_points_and_a_mirrored_one_the_same_sign() -> None:
    x = vectors(100, 16)
    assert np.array_equal(planar(reduced(x).numpy()), planar(reduced(x).numpy()))
    found = planar(reduced(x).numpy())
    assert (found[np.abs(found).argmax(axis=0), [0, 1]] > 0).all()


def test_vectors_that_are_all_one_or_none_are_no_error() -> None:
    assert np.abs(planar(reduced(torch.ones(5, 4)).numpy())).max() < 1e-5
    assert planar(reduced(torch.randn(1, 4)).numpy()).shape == (1, 2)
    assert np.isnan(planar(reduced(torch.full((5, 4), torch.nan)).numpy())).all()
