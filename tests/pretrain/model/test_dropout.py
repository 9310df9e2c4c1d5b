"""Masks are those of plain integers, the same in any batch, and as independent as draws would be."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pretrain.model.dropout import dropout, dropout_plainly, dropped, is_dropped, site_keys
from pretrain.model.transformer import Transformer

Make = Callable[..., Transformer]
WORDS = st.integers(-(2**63), 2**63 - 1)
# Deviations in standard deviations, of a thousand numbers at most: one of them is above 5 once in 1,700 good hashes.
MOST = 5.0


@given(
    keys=st.lists(WORDS, min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    probability=st.floats(0, 0.999),
    site=st.integers(0, 4),
)
def test_masks_are_those_of_plain_integers(keys: list[int], sizes: list[int], probability: float, site: int) -> None:
    keys_B2 = site_keys(torch.tensor(keys), 5)[site]
    found = dropped(torch.Size([len(keys), *sizes]), probability, keys_B2).view(len(keys), -1, sizes[-1])
    for place in torch.cartesian_prod(*map(torch.arange, found.shape)).tolist():
        sample, row, channel = place
        assert found[sample, row, channel] == is_dropped(keys[sample], site, row, channel, probability)


@given(keys=st.lists(WORDS, min_size=1, max_size=3), probability=st.floats(0, 0.999), seed=st.integers(0, 1000))
def test_values_are_those_of_masks_made_one_by_one(keys: list[int], probability: float, seed: int) -> None:
    x_BTD = torch.randn(len(keys), 3, 5, generator=torch.Generator().manual_seed(seed))
    keys_B2 = site_keys(torch.tensor(keys), 2)[1]
    fast, plain = x_BTD.clone().requires_grad_(), x_BTD.clone().requires_grad_()
    torch.testing.assert_close(dropout_plainly(plain, probability, keys_B2), dropout(fast, probability, keys_B2))
    dropout(fast, probability, keys_B2).sum().backward()
    dropout_plainly(plain, probability, keys_B2).sum().backward()
    torch.testing.assert_close(plain.grad, fast.grad)


def share_z(mask: Tensor, probability: float) -> Tensor:
    """How far each row's share of drops is from the probability, in standard deviations."""
    count = mask.size(-1)
    return (mask.double().sum(-1) - count * probability) / math.sqrt(count * probability * (1 - probability))


def worst_z(mask_BTD: Tensor, probability: float) -> float:
    """The largest deviation: of shares along each dim, of agreement between neighbours at many distances, of spread."""
    B, T, D = mask_BTD.shape
    by_dim = [
        mask_BTD.reshape(B, -1),
        mask_BTD.transpose(0, 1).reshape(T, -1),
        mask_BTD.permute(2, 0, 1).reshape(D, -1),
    ]
    shares = [share_z(rows, probability) for rows in (mask_BTD.reshape(1, -1), *by_dim)]
    both = []
    for dim, size in enumerate(mask_BTD.shape):
        for distance in [lag for lag in (1, 2, 3, 4, 8, 16, 32, 64) if lag < size]:
            one, other = (mask_BTD.narrow(dim, start, size - distance) for start in (0, distance))
            both.append(share_z((one & other).reshape(1, -1), probability**2))
    # the spread of the shares of rows of D values: their squared deviations are chi-square with B T degrees
    squares = share_z(mask_BTD, probability).square().sum()
    spread = (squares - B * T) / math.sqrt(2 * B * T)
    return float(torch.cat([*shares, *both, spread.view(1)]).abs().max())


@pytest.mark.parametrize("probability", [0.01, 0.1, 0.5, 0.9])
def test_masks_look_drawn(probability: float) -> None:
    drawn_B = torch.randint(-(2**62), 2**62, (16,), generator=torch.Generator().manual_seed(2))
    for keys_B in (torch.arange(16), torch.arange(16) << 48, drawn_B):
        masks = [dropped(torch.Size((16, 128, 256)), probability, keys_B2) for keys_B2 in site_keys(keys_B, 3)]
        assert max(worst_z(mask, probability) for mask in masks) < MOST
        assert worst_z(torch.stack(masks).view(3, 16 * 128, 256), probability) < MOST  # neighbours are sites
        joint = share_z((masks[0] & masks[1] & masks[2]).view(1, -1), probability**3)
        assert float(joint.abs()) < MOST


def test_what_is_not_drawn_is_noticed() -> None:
    mask = torch.rand(16, 128, 256, generator=torch.Generator().manual_seed(4)) < 0.1
    assert worst_z(mask, 0.1) < MOST
    repeated, uneven = mask.clone(), mask.clone()
    repeated[1] = repeated[0]
    uneven[..., ::16] |= uneven[..., 1::16]
    assert min(worst_z(bad, 0.1) for bad in (repeated, uneven)) > MOST


def test_every_bit_of_a_key_and_every_site_gives_other_masks() -> None:
    key, shape = torch.tensor([0x0123456789ABCDEF]), torch.Size((1, 64, 64))
    keys = torch.cat([key, key ^ (1 << torch.arange(64))])
    masks = dropped(torch.Size((65, 64, 64)), 0.5, site_keys(keys, 1)[0]).view(65, -1)
    agreeing = share_z(masks[1:] == masks[0], 0.5)
    sites = [dropped(shape, 0.5, keys_B2).view(-1) for keys_B2 in site_keys(key, 40)]
    agreeing = torch.cat([agreeing, *(share_z((site == sites[0]).view(1, -1), 0.5) for site in sites[1:])])
    assert float(agreeing.abs().max()) < MOST


def test_kept_values_are_scaled_and_the_gradient_goes_their_way() -> None:
    x_BTD, keys_B2 = torch.randn(2, 3, 8, requires_grad=True), site_keys(torch.tensor([3, 4]), 1)[0]
    y_BTD, mask = dropout(x_BTD, 0.25, keys_B2), dropped(x_BTD.shape, 0.25, keys_B2)
    y_BTD.sum().backward()
    expected = torch.where(mask, 0.0, torch.tensor(4 / 3))
    torch.testing.assert_close(y_BTD, x_BTD * expected)
    torch.testing.assert_close(x_BTD.grad, expected)
    assert dropout(x_BTD.bfloat16(), 0.25, keys_B2).dtype == torch.bfloat16
    assert torch.equal(dropout(x_BTD, 0.0, keys_B2), x_BTD)


def test_a_sequence_has_its_masks_in_any_batch(make_model: Make, ids_BT: Tensor) -> None:
    model, keys_B = make_model(dropout=0.3).double(), torch.tensor([11, -5, 7])
    whole = model.loss_sum(ids_BT, ids_BT, keys_B)[0]
    parts = [model.loss_sum(ids_BT[rows], ids_BT[rows], keys_B[rows])[0] for rows in ([2], [1, 0])]
    torch.testing.assert_close(parts[0] + parts[1], whole)
    for other in (torch.tensor([11, -5, 8]), None):
        assert abs(model.loss_sum(ids_BT, ids_BT, other)[0].item() - whole.item()) > 1e-3


def test_without_keys_every_call_draws_its_own(make_model: Make, ids_BT: Tensor) -> None:
    model, state = make_model(dropout=0.3), torch.get_rng_state()
    one, other = (model.loss_sum(ids_BT, ids_BT)[0].item() for _ in "ab")
    assert one != other
    torch.set_rng_state(state)
    assert model.loss_sum(ids_BT, ids_BT)[0].item() == one


def test_with_keys_no_generator_is_touched_and_nothing_is_kept_of_the_attention_weights(
    make_model: Make, ids_BT: Tensor
) -> None:
    model, state, kept = make_model(dropout=0.3), torch.get_rng_state(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.shape) or x, lambda x: x):
        loss = model.loss_sum(ids_BT, ids_BT, torch.arange(3))[0]
    loss.backward()
    assert torch.equal(torch.get_rng_state(), state)
    T = ids_BT.size(1)
    assert kept and not [shape for shape in kept if shape[-2:] == (T, T)]


def test_dropout_0_and_evaluation_are_the_model_without_it(make_model: Make, ids_BT: Tensor) -> None:
    plain, dropping, keys_B = make_model(), make_model(dropout=0.3).eval(), torch.arange(3)
    expected = plain.loss_sum(ids_BT, ids_BT)[0]
    for model in (plain, dropping):
        assert torch.equal(model.loss_sum(ids_BT, ids_BT, keys_B)[0], expected)
