"""The rules of the peers against counting by hand, the replay against faults that are known, and one real fault."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

NAN = math.nan


@pytest.fixture(scope="module")
def guard(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("guard")


@pytest.fixture(scope="module")
def peers(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("guard_peers")


@pytest.fixture(scope="module")
def replay(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("guard_replay")


def test_olmo_skips_beyond_six_deviations_of_all_it_has_seen(peers: ModuleType) -> None:
    generator = np.random.default_rng(0)
    values = (3 + 0.1 * generator.normal(size=400)).tolist()
    values[20], values[200], values[203], values[300] = 9.0, 9.0, 5.5, NAN
    rule, past, expected, found = peers.SkipStep(), [], [], []
    for value in values:
        found.append(rule.answer(value, 1.0 + 0.01 * value))
        held = np.array(past[-128:])
        unarmed = len(past) < 63
        expected.append(float(unarmed or value - held.mean() <= 6 * held.std(ddof=1)))
        past.append(value)
    assert found == expected
    assert (found[20], found[200], found[203]) == (1, 0, 1)  # the first blinds it
    assert sum(found[300:]) == 0  # one NaN


def test_llm_foundry_ends_after_five_in_a_row(peers: ModuleType) -> None:
    rule = peers.KillLossSpike(num_steps=1000)
    for loss in [3.0] * 100 + [6.1] * 4 + [3.0] + [9.0] * 4:
        assert rule.answer(loss, 1.0) == 1 and not rule.stopped
    rule.answer(9.0, 1.0)
    assert rule.stopped
    waits = peers.KillLossSpike(num_steps=10_000)  # for a window of 500
    for loss in [3.0] * 100 + [99.0] * 50:
        waits.answer(loss, 1.0)
    assert not waits.stopped


def test_zclip_bounds_the_more_the_higher(peers: ModuleType) -> None:
    rule = peers.ZClip()
    norms = [0.4, 0.6] * 12 + [0.5]
    assert [rule.answer(3.0, norm) for norm in norms] == [1.0] * 25
    mean, spread = 0.5, np.std(norms)
    z = (0.9 - mean) / (spread + 1e-6)
    bound = mean + 2.5 * spread * 2.5 / z
    assert rule.answer(3.0, 0.9) == pytest.approx(bound / 0.9, rel=1e-5)
    mean = 0.97 * mean + 0.03 * bound
    variance = 0.97 * spread**2 + 0.03 * (bound - mean) ** 2
    z = (5.0 - mean) / (variance**0.5 + 1e-6)
    assert rule.answer(3.0, 5.0) == pytest.approx((mean + 2.5 * variance**0.5 * 2.5 / z) / 5.0, rel=1e-5)
    assert rule.answer(3.0, NAN) == 1.0 and rule.answer(3.0, 0.9) == 1.0  # NaN for ever: only the norm of 1 is left
    assert rule.answer(3.0, 4.0) == pytest.approx(0.25, rel=1e-5)


def test_clipping_scales_what_is_above_one(peers: ModuleType) -> None:
    rule = peers.Clip()
    assert rule.answer(3.0, 0.5) == 1.0 and rule.answer(3.0, 4.0) == pytest.approx(0.25, rel=1e-5)
    assert math.isnan(rule.answer(3.0, NAN)) and rule.answer(3.0, math.inf) == 0.0


@pytest.mark.slow
def test_a_replay_counts_what_was_put_in(replay: ModuleType) -> None:
    generator = np.random.default_rng(1)
    losses = (4 + 0.05 * generator.normal(size=700)).tolist()
    norms = np.exp(0.2 * generator.normal(size=700)).tolist()
    trace = replay.Trace("a", "made up", losses, norms)
    places = replay.places_of(trace, 2, seed=0)
    assert places.keys() == replay.FAULTS.keys() and max(places["NaN in warm-up"]) < 60
    found = {name: replay.Found() for name in replay.KINDS}
    for name, kind in replay.KINDS.items():
        replay.replay(trace, kind, places, 0, found[name])
    ours, olmo, foundry, zclip, clip = found.values()
    assert all(share == 1 for fault, shares in ours.recalls.items() for share in shares if fault != "gradient x 10")
    assert ours.touched == ours.stops == 0 and not any(map(any, ours.after.values()))
    assert olmo.after["NaN loss"] == [128, 128] and olmo.recalls["NaN in warm-up"] == [0, 0]
    assert foundry.recalls["gradient x 10,000"] == [0, 0] and foundry.touched == 0
    assert zclip.recalls["gradient x 10,000"] == clip.recalls["gradient x 10,000"] == [1, 1]
    assert zclip.recalls["NaN gradient"] == clip.recalls["NaN gradient"] == [0, 0]
    assert ours.clean_steps == 700 and clip.touched == sum(norm > 1 for norm in norms)


@pytest.mark.slow
def test_a_struck_run_keeps_its_weights_or_loses_them(
    script: Callable[[str], ModuleType], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = script("guard_live")
    monkeypatch.setattr(live, "STEPS", 72)
    monkeypatch.setattr(live, "LIVE_FAULTS", {"NaN gradient": (1.0, NAN, 70), "none": (1.0, 1.0, 70)})
    ours, olmo, *_ = live.KINDS
    kept = live.live(ours, "NaN gradient", data_dir)
    assert kept.moved == 0 and math.isfinite(kept.last_loss)
    assert math.isnan(live.live(olmo, "NaN gradient", data_dir).moved)  # 0 x NaN
    assert 0.3 < live.live(olmo, "none", data_dir).moved < 3


def test_every_rule_has_a_column(guard: ModuleType) -> None:
    values = [4.0 + 0.1 * math.sin(step) for step in range(400)]
    trace = guard.Trace("a", "made up", values, values)
    found = guard.replay_all([trace], places=0, seed=0)
    assert guard.clean_table([trace], found).splitlines()[-1].count("0.00") == 4
    taken = guard.costs(trace, 2, None)
    assert all(len(times) == 2 and min(times) > 0 for times in taken.values())
    assert len(guard.cost_table(taken).splitlines()) == 2 + 5
