from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pretrain.model.loss import CPU_CHUNK_ROWS, TokenLoss, loss_in_chunks, loss_plainly
from pretrain.pieces import NONE
from pretrain.types import IGNORE

V, D = 40, 12
BOTH_WAYS = pytest.mark.parametrize("plain_pieces", [NONE, frozenset({"loss"})])


def problem(num_rows: int, seed: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x_ND = torch.randn(num_rows, D, generator=generator, dtype=dtype)
    weight_VD = torch.randn(V, D, generator=generator, dtype=dtype)
    targets_N = torch.randint(0, V, (num_rows,), generator=generator)
    targets_N[torch.rand(num_rows, generator=generator) < 0.3] = IGNORE
    return x_ND.requires_grad_(), weight_VD.requires_grad_(), targets_N


def plain(x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, reduction: str = "sum") -> Tensor:
    return F.cross_entropy(F.linear(x_ND, weight_VD).float(), targets_N, ignore_index=IGNORE, reduction=reduction)


@settings(deadline=None, max_examples=40)
@given(
    num_rows=st.integers(1, 50),
    chunk_rows=st.integers(1, 60),
    seed=st.integers(0, 1000),
    scale=st.floats(0.001, 100),
    plain_pieces=st.sampled_from([NONE, frozenset({"loss"})]),
)
def test_any_chunking_equals_torch_s_loss_and_so_does_none(
    num_rows: int, chunk_rows: int, seed: int, scale: float, plain_pieces: frozenset[str]
) -> None:
    ours, reference = problem(num_rows, seed), problem(num_rows, seed)
    (loss, nats_N), expected = TokenLoss(chunk_rows, plain_pieces)(*ours), plain(*reference)
    each_N = plain(*reference, reduction="none")
    (loss * scale).backward()
    (expected * scale).backward()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(nats_N, each_N.detach(), rtol=1e-5, atol=1e-5)
    assert not nats_N.requires_grad
    for mine, theirs in zip(ours[:2], reference[:2], strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5 * scale)


@settings(deadline=None, max_examples=30)
@given(num_rows=st.integers(1, 50), chunk_rows=st.integers(1, 60), seed=st.integers(0, 1000))
def test_chunks_are_the_plain_formula(num_rows: int, chunk_rows: int, seed: int) -> None:
    fast, formula = problem(num_rows, seed), problem(num_rows, seed)
    found, expected = loss_in_chunks(*fast, chunk_rows), loss_plainly(*formula, chunk_rows)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    found[0].backward()
    expected[0].backward()
    for mine, theirs in zip(fast[:2], formula[:2], strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5)


@BOTH_WAYS
def test_without_gradients_it_is_the_same_number(plain_pieces: frozenset[str]) -> None:
    x_ND, weight_VD, targets_N = problem(33, seed=0)
    with_gradients = TokenLoss(10, plain_pieces)(x_ND, weight_VD, targets_N)
    with torch.no_grad():
        without = TokenLoss(10, plain_pieces)(x_ND, weight_VD, targets_N)
    assert not without[0].requires_grad
    for one, other in zip(with_gradients, without, strict=True):
        assert torch.equal(one.detach(), other)


@BOTH_WAYS
def test_all_masked_is_zero_with_zero_gradients(plain_pieces: frozenset[str]) -> None:
    x_ND, weight_VD, targets_N = problem(9, seed=0)
    loss, _ = TokenLoss(4, plain_pieces)(x_ND, weight_VD, torch.full_like(targets_N, IGNORE))
    loss.backward()
    assert loss.item() == 0
    assert (x_ND.grad == 0).all()
    assert (weight_VD.grad == 0).all()


@BOTH_WAYS
def test_a_masked_row_that_overflows_does_no_harm(plain_pieces: frozenset[str]) -> None:
    x_ND, weight_VD, targets_N = problem(9, seed=0)
    with torch.no_grad():
        x_ND[4] = float("inf")
    targets_N[4] = IGNORE
    loss, _ = TokenLoss(4, plain_pieces)(x_ND, weight_VD, targets_N)
    loss.backward()
    assert loss.isfinite()
    assert weight_VD.grad.isfinite().all()
    assert (x_ND.grad[4] == 0).all()


@BOTH_WAYS
def test_a_nan_in_a_target_row_is_not_hidden(plain_pieces: frozenset[str]) -> None:
    x_ND, weight_VD, targets_N = problem(9, seed=0)
    with torch.no_grad():
        x_ND[4] = float("nan")
    targets_N[4] = 3
    loss, _ = TokenLoss(4, plain_pieces)(x_ND, weight_VD, targets_N)
    loss.backward()
    assert loss.isnan()
    assert weight_VD.grad.isnan().any()


@BOTH_WAYS
def test_bf16_autocast_computes_in_bf16_and_adds_up_in_float32(plain_pieces: frozenset[str]) -> None:
    ours, reference = problem(400, seed=1), problem(400, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = TokenLoss(7, plain_pieces)(*ours)
    loss.backward()
    with torch.no_grad():
        rounded = plain(reference[0].bfloat16(), reference[1].bfloat16(), reference[2])
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.detach(), rounded, rtol=1e-5, atol=0)
    plain(*reference).backward()
    for mine, theirs in zip(ours[:2], reference[:2], strict=True):
        assert mine.grad.dtype == torch.float32
        error = (mine.grad - theirs.grad).norm() / theirs.grad.norm()
        assert error < 0.01  # bf16 keeps 8 bits: 0.4 % a rounding


def test_more_rows_than_a_chunk_by_default() -> None:
    ours, reference = problem(CPU_CHUNK_ROWS + 3, seed=2), problem(CPU_CHUNK_ROWS + 3, seed=2)
    (loss, _), expected = TokenLoss()(*ours), plain(*reference)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours[1].grad, reference[1].grad, rtol=1e-4, atol=1e-5)
