"""The guard's rule in plain NumPy beside the one on the device, and in a loop where a skip leaves what it skips."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pretrain.seats import Action
from pretrain.stability.guard import SkipGuard
from pretrain.types import Record

Curve = Callable[..., tuple[np.ndarray, np.ndarray]]
MakeGuard = Callable[..., SkipGuard]


def reference(losses: np.ndarray, norms: np.ndarray, most: int = 5, armed: int = 64, size: int = 128) -> list[bool]:
    """The rule in float64, a step after the other; what isn't an argument is at its default."""
    held_losses, held_norms = deque[float](maxlen=size), deque[float](maxlen=size)
    verdicts, norm_skips = [], 0
    for loss, norm in zip(losses.astype(np.float64), norms.astype(np.float64), strict=True):
        bad, norm_only = True, False
        if math.isfinite(loss) and math.isfinite(norm):
            log_norm = math.log(max(norm, 1e-20))
            bad = stands_out(loss, held_losses, armed, least_spread_frac=0.005, least_spread=0.0, least_rise=0.1)
            high = stands_out(log_norm, held_norms, armed, 0.0, 0.05, math.log(20))
            high = high and norm > 3 * math.exp(max(held_norms))
            bad |= high and norm > 1000 * math.exp(np.median(held_norms))
            norm_only = high and not bad
        if norm_only and norm_skips < most:
            norm_skips, bad = norm_skips + 1, True
        elif norm_only:
            norm_skips = 0
            held_norms.clear()
        elif not bad:
            norm_skips = max(0, norm_skips - 1)
        if not bad:
            held_losses.append(loss)
            held_norms.append(log_norm)
        verdicts.append(bad)
    return verdicts


def stands_out(
    value: float, held: deque[float], armed: int, least_spread_frac: float, least_spread: float, least_rise: float
) -> bool:
    if len(held) < armed:
        return False
    past = np.array(held)
    center = np.median(past)
    spread = max(1.4826 * np.median(np.abs(past - center)), least_spread + least_spread_frac * abs(center))
    return bool((value - center) / spread > 6 and value - center > least_rise)


# what the loss and the norm are multiplied by, and for how many steps
FAULTS = {
    "loss x 100": (100.0, 1.0, 1),
    "gradient x 10000": (1.0, 1e4, 1),
    "both": (3.0, 50.0, 2),
    "loss NaN": (math.nan, 1.0, 1),
    "gradient NaN": (1.0, math.nan, 3),
    "loss inf": (math.inf, 1.0, 1),
    "gradient inf": (1.0, math.inf, 2),
    "no gradient": (1.0, 0.0, 1),
    "a burst of gradients": (1.0, 60.0, 5),
    "a burst of blown up gradients": (1.0, 1e4, 7),
    "a new level of gradients": (1.0, 60.0, 10_000),
    "gradients of a hot run": (1.0, 15.0, 1),
    "a new level of losses": (1.5, 1.0, 10_000),
    "gradients back to the old level": (1.0, 1 / 60, 10_000),
}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**31),
    faults=st.lists(st.tuples(st.integers(0, 399), st.sampled_from(sorted(FAULTS))), max_size=14),
    sizes=st.sampled_from([(5, 64, 128), (1, 8, 16), (3, 16, 16), (4, 2, 16)]),
)
def test_same_verdicts_as_the_plain_rule(
    make_guard: MakeGuard, curve: Curve, seed: int, faults: list[tuple[int, str]], sizes: tuple[int, int, int]
) -> None:
    losses, norms = curve(seed, 400)
    for step, name in faults:
        of_loss, of_norm, length = FAULTS[name]
        losses[step : step + length] *= of_loss
        norms[step : step + length] *= of_norm
    most, armed, size = sizes
    guard = make_guard(max_skips_in_row=most, min_accepted_steps=armed, window_steps=size)
    pairs = zip(torch.from_numpy(losses), torch.from_numpy(norms), strict=True)
    found = [bool(guard.judge(loss, norm)[0]) for loss, norm in pairs]
    assert found == reference(losses, norms, most, armed, size)


class Loop:
    """A training whose next norm depends on whether this step was applied, as in a real one."""

    def __init__(self, guard: SkipGuard) -> None:
        self.guard, self.step, self.updates = guard, 0, 0
        self.random = np.random.default_rng(0)
        self.skips, self.actions = list[int](), set[Action]()

    def take(self, loss: float, norm: float) -> None:
        loss32, norm32 = np.float32(loss + 0.03 * self.random.normal()), np.float32(norm)
        bad, *evidence = self.guard.judge(torch.tensor(loss32), torch.tensor(norm32)).tolist()
        self.step, self.updates = self.step + 1, self.updates + (not bad)
        self.skips += [self.step] * bool(bad)
        record = Record(
            self.step, self.step - 1, 1e-3, 0.0, float(loss32), float(norm32), bad > 0, 8, False, tuple(evidence)
        )
        self.actions.add(self.guard.decide(record))

    def noise(self) -> float:
        return float(np.exp(0.15 * self.random.normal()))


def test_where_gradients_grow_by_the_updates_they_are_learnt_from_again(make_guard: MakeGuard) -> None:
    loop = Loop(make_guard())
    while loop.updates < 400:
        assert loop.step < 600
        grown = 60.0 if 200 <= loop.updates < 300 else 1.0  # leaving a plateau: only updates lead through it
        loop.take(5.0 - 0.002 * loop.updates, grown * loop.noise())
    assert loop.actions == {Action.CONTINUE}
    assert loop.skips == [201, 202, 203, 204, 205]  # and falling norms are no spike


@pytest.mark.parametrize("low_every", [3, 5])
def test_a_few_steps_at_the_old_level_in_between_do_not_keep_the_new_one_out(
    make_guard: MakeGuard, low_every: int
) -> None:
    loop = Loop(make_guard())
    for step in range(1, 601):
        high = step > 200 and step % low_every
        loop.take(4.0, (60.0 if high else 1.0) * loop.noise())
    assert loop.actions == {Action.CONTINUE}
    assert 5 <= len(loop.skips) <= 25


def test_bad_steps_between_skipped_norms_neither_help_nor_hide(make_guard: MakeGuard) -> None:
    kinds = {"n": (3.0, 60.0), "N": (3.0, 3600.0), "!": (math.nan, 1.0), "l": (9.0, 1.0), ".": (3.0, 1.0)}

    def verdicts(text: str, **counts: Any) -> tuple[str, set[Action]]:
        loop = Loop(make_guard(**counts))
        for kind in "." * 80 + text:
            loop.take(*kinds[kind])
        return "".join("s" if step in loop.skips else "-" for step in range(81, loop.step + 1)), loop.actions

    assert verdicts("n!nnlnnn.") == ("sssssss--", {Action.CONTINUE})  # six norms: five skips, then the new level
    assert verdicts("nnnnnnNNNNNN.", min_accepted_steps=1)[0] == "sssss-sssss--"  # a level after the other
    assert verdicts("!!n!n!!" + "n" * 9)[1] == {Action.CONTINUE}  # five bad ones
    assert Action.STOP in verdicts("!!n!n!!!")[1]  # six
    assert verdicts("nnnn." * 9 + "nn..n...n....", budget_skips=1)[1] == {Action.CONTINUE}
    assert Action.STOP in verdicts("l.l.", budget_skips=1)[1]
