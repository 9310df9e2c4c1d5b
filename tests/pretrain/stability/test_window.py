"""The window against a plain list and NumPy's float64 medians."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.stability.window import MAD_TO_STD, PlainWindow, Window

finite = st.floats(-100, 100, width=32)
anything = st.one_of(finite, st.sampled_from([float("nan"), float("inf"), float("-inf")]))
BOTH_WAYS = pytest.mark.parametrize("kind", [Window, PlainWindow])
stream = st.lists(st.tuples(anything, anything, st.booleans()), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(stream=stream, size=st.integers(1, 12), kind=st.sampled_from([Window, PlainWindow]))
def test_holds_the_last_accepted_values(stream: list[tuple[float, float, bool]], size: int, kind: type[Window]) -> None:
    window = kind(2, size, torch.device("cpu"))
    held: list[tuple[float, float]] = []
    for one, other, wanted in stream:
        accepted = wanted and np.isfinite(one) and np.isfinite(other)
        window.add(torch.tensor([one, other]), torch.tensor(accepted))
        if accepted:
            held = [*held, (one, other)][-size:]
        assert sorted(held) == sorted(map(tuple, window.values_KW.T[: len(held)].tolist()))
    assert window.count_K.tolist() == [sum(w and np.isfinite(a) and np.isfinite(b) for a, b, w in stream)] * 2
    if held:
        values = np.array(held, dtype=np.float64).T
        center, spread, highest = window.look()
        expected = np.median(values, axis=1)
        deviations = np.median(np.abs(values - expected[:, None]), axis=1)
        np.testing.assert_allclose(center, expected, rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(spread, MAD_TO_STD * deviations, rtol=1e-5, atol=1e-4)
        assert highest.tolist() == values.max(axis=1).tolist()


def test_spread_of_normal_values_is_their_standard_deviation() -> None:
    window = Window(1, 4096, torch.device("cpu"))
    values = np.random.default_rng(0).normal(5.0, 2.0, size=4096).astype(np.float32)
    window.values_KW.copy_(torch.from_numpy(values)[None])
    window.count_K.fill_(4096)
    center, spread, _ = window.look()
    assert center.item() == pytest.approx(5.0, abs=0.15) and spread.item() == pytest.approx(2.0, rel=0.05)


@BOTH_WAYS
def test_an_empty_window_says_nothing(kind: type[Window]) -> None:
    window = kind(2, 4, torch.device("cpu"))
    center, spread, highest = window.look()
    assert center.isnan().all() and spread.isnan().all() and highest.isnan().all()


@BOTH_WAYS
@pytest.mark.parametrize("before", [0, 1, 3, 4, 9])
def test_a_series_that_begins_anew_forgets_and_the_other_does_not(before: int, kind: type[Window]) -> None:
    window = kind(2, 4, torch.device("cpu"))
    numbers = [*range(before), 100, 200, 300]
    for number in numbers:
        if number == 100:
            window.begin_anew(torch.tensor([False, True]))
        window.add(torch.tensor([float(number), float(number)]), torch.tensor(True))
    assert window.count_K.tolist() == [before + 3, 3]
    center, spread, highest = window.look()
    assert highest.tolist() == [max(numbers[-4:]), 300.0]
    assert center.tolist() == [np.median(numbers[-4:]), 200.0]
    assert spread[1].item() == pytest.approx(MAD_TO_STD * 100)
    assert window.values_KW[0].tolist() == last_by_place(numbers, 4)


def last_by_place(numbers: list[int], size: int) -> list[float]:
    places = [0.0] * size
    for count, number in enumerate(numbers):
        places[count % size] = float(number)
    return places


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_rejected_values_leave_every_bit(value: float) -> None:
    window = Window(2, 4, torch.device("cpu"))
    for number in range(6):
        window.add(torch.tensor([float(number), -float(number)]), torch.tensor(True))
    values, count = window.values_KW.clone(), window.count_K.clone()
    window.add(torch.tensor([value, 0.0]), torch.tensor(False))
    assert torch.equal(values, window.values_KW) and torch.equal(count, window.count_K)


def test_state_stays_in_the_same_tensors() -> None:
    window = Window(2, 4, torch.device("cpu"))
    places = window.values_KW.data_ptr(), window.count_K.data_ptr()
    window.add(torch.ones(2), torch.tensor(True))
    assert places == (window.values_KW.data_ptr(), window.count_K.data_ptr())
