"""The guard on simulated runs: with injected faults, and over kills at any step."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from foundation.errors import SettingError
from pretrain.seats import Action, Guard
from pretrain.stability.errors import GuardError
from pretrain.stability.guard import NoGuard, SkipGuard
from pretrain.stability.rewinds import Rewinds
from pretrain.types import Record

Curve = Callable[..., tuple[np.ndarray, np.ndarray]]
MakeGuard = Callable[..., SkipGuard]
shared_fixture = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def judge_all(guard: Guard, losses: np.ndarray, norms: np.ndarray) -> list[bool]:
    return [judgement[0] > 0 for judgement in judgements(guard, losses, norms)]


def judgements(guard: Guard, losses: np.ndarray, norms: np.ndarray) -> list[list[float]]:
    pairs = zip(torch.from_numpy(losses), torch.from_numpy(norms), strict=True)
    return [guard.judge(loss, norm).tolist() for loss, norm in pairs]


FAULTS: dict[str, tuple[float, float]] = {  # what the loss and the norm are multiplied by
    "loss x 100": (100.0, 1.0),
    "gradient x 10000": (1.0, 1e4),
    "both": (3.0, 50.0),
    "loss NaN": (math.nan, 1.0),
    "gradient NaN": (1.0, math.nan),
    "loss inf": (math.inf, 1.0),
    "gradient inf": (1.0, math.inf),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("first", [70, 250])
@pytest.mark.parametrize("length", [1, 3])
def test_every_injected_fault_is_caught_and_nothing_else(
    make_guard: MakeGuard, curve: Curve, fault: str, first: int, length: int
) -> None:
    losses, norms = curve(first + length, 400)
    losses[first : first + length] *= FAULTS[fault][0]
    norms[first : first + length] *= FAULTS[fault][1]
    verdicts = judge_all(make_guard(), losses, norms)
    assert [step for step, bad in enumerate(verdicts) if bad] == list(range(first, first + length))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise", [(0.0, 0.0), (0.01, 0.05), (0.05, 0.25)])
def test_no_step_of_a_clean_run_is_skipped(
    make_guard: MakeGuard, curve: Curve, seed: int, noise: tuple[float, float]
) -> None:
    assert not any(judge_all(make_guard(), *curve(seed, 1500, *noise)))


@pytest.mark.parametrize("step", [0, 1, 5, 63])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_is_caught_before_the_window_is_armed(
    make_guard: MakeGuard, curve: Curve, step: int, value: float
) -> None:
    losses, norms = curve(0, 100)
    losses[step] = value
    assert [number for number, bad in enumerate(judge_all(make_guard(), losses, norms)) if bad] == [step]


def test_spikes_are_judged_from_the_64th_accepted_step_on(make_guard: MakeGuard) -> None:
    losses, norms = np.full(66, 3.0, dtype=np.float32), np.full(66, 1.0, dtype=np.float32)
    losses[0], losses[10], losses[64], losses[65] = math.nan, 30.0, 30.0, 30.0
    # the first is not finite, so the window holds 63 before step 64 and 64 (that one among them) before step 65
    assert [step for step, bad in enumerate(judge_all(make_guard(), losses, norms)) if bad] == [0, 65]


def test_a_spike_does_not_blind_the_guard_to_the_next(make_guard: MakeGuard, curve: Curve) -> None:
    losses, norms = curve(4, 900)
    spikes = [500, 505, 530, 600, 610, 611]
    losses[spikes] += 2.0
    verdicts = judge_all(make_guard(), losses, norms)
    assert [step for step, bad in enumerate(verdicts) if bad] == spikes


def test_spikes_without_end_never_become_the_normal(make_guard: MakeGuard, curve: Curve) -> None:
    losses, norms = curve(4, 500)
    losses[250:] += 5.0
    guard = make_guard()
    assert not any(judge_all(guard, losses[:250], norms[:250]))
    before = copy.deepcopy(guard.tensors())
    assert all(judge_all(guard, losses[250:], norms[250:]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in guard.tensors().items())


def test_a_slow_rise_and_a_zero_gradient_are_no_spikes(make_guard: MakeGuard) -> None:
    steps = np.arange(600)
    losses = (3.0 + 0.002 * steps + 0.02 * np.random.default_rng(0).normal(size=600)).astype(np.float32)
    norms = np.ones(600, dtype=np.float32)
    norms[300] = 0.0  # a batch whose targets are all masked
    assert not any(judge_all(make_guard(), losses, norms))


@shared_fixture
@given(kill=st.integers(0, 299), seed=st.integers(0, 1000))
@example(kill=203, seed=0)  # amid the skips that make a new level
def test_a_restored_guard_goes_on_with_the_same_verdicts_and_bits(
    make_guard: MakeGuard, curve: Curve, kill: int, seed: int
) -> None:
    losses, norms = curve(seed, 300)
    losses[[20, 150, 151, 290]] = [math.nan, 50.0, 50.0, math.inf]
    norms[[100, *range(200, 240)]] *= 60  # a spike, and a new level
    straight = make_guard()
    expected = judge_all(straight, losses, norms)
    first, second = make_guard(), make_guard()
    verdicts = judge_all(first, losses[:kill], norms[:kill])
    for name, tensor in second.tensors().items():
        tensor.copy_(first.tensors()[name])
    second.restore(orjson.loads(orjson.dumps(first.facts())))
    verdicts += judge_all(second, losses[kill:], norms[kill:])
    assert verdicts == expected
    for name, tensor in straight.tensors().items():
        assert torch.equal(tensor, second.tensors()[name])


def test_a_guard_that_is_taken_back_forgets_what_it_had_not_decided(
    make_guard: MakeGuard, curve: Curve, tmp_path: Path
) -> None:
    losses, norms = curve(7, 120)
    guard = make_guard()
    tensors, facts = copy.deepcopy(guard.tensors()), guard.facts()
    judge_all(guard, losses[:50], norms[:50])  # judged, never decided
    for name, tensor in guard.tensors().items():
        tensor.copy_(tensors[name])
    guard.restore(facts)
    losses[100] = 40.0
    run(guard, losses, norms)
    (line,) = journal(tmp_path)
    assert (line["step"], line["reason"]) == (101, "loss spike")
    assert line["median_loss"] == pytest.approx(np.median(losses[:100].astype(np.float64)), rel=1e-5)


def test_the_state_is_finite_whatever_was_judged(make_guard: MakeGuard) -> None:
    guard = make_guard()
    guard.judge(torch.tensor(3.0), torch.tensor(0.0))  # a batch without targets has no gradient
    values = np.array([math.nan, math.inf, 3.0, -math.inf, 3e38], dtype=np.float32)
    judge_all(guard, values, values[::-1].copy())
    assert all(torch.isfinite(tensor).all() for tensor in guard.tensors().values())


def test_judge_neither_needs_nor_keeps_a_graph(make_guard: MakeGuard) -> None:
    loss = torch.tensor(3.0, requires_grad=True)
    assert not make_guard().judge(loss * 1, torch.tensor(1.0)).requires_grad


def run(guard: SkipGuard, losses: np.ndarray, norms: np.ndarray, lag: int = 2, first_step: int = 1) -> list[Action]:
    """Judge on the device and decide `lag` steps later, as the loop does; steps count from 1, batches from 0."""
    judged = judgements(guard, losses[:lag], norms[:lag])
    actions = []
    for number in range(len(losses)):
        if number + lag < len(losses):
            judged += judgements(guard, losses[number + lag : number + lag + 1], norms[number + lag : number + lag + 1])
        step = first_step + number
        bad, *evidence = judged[number]
        loss, norm = float(losses[number]), float(norms[number])
        actions.append(guard.decide(Record(step, step - 1, 1e-3, 0.0, loss, norm, bad > 0, 8, False, tuple(evidence))))
    return actions


def journal(folder: Path, name: str = "journal.jsonl") -> list[dict[str, Any]]:
    path = folder / name
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


@pytest.mark.parametrize("lag", [0, 2, 9])
def test_each_skip_is_journaled_with_its_evidence(
    make_guard: MakeGuard, curve: Curve, tmp_path: Path, lag: int
) -> None:
    losses, norms = curve(7, 300)
    losses[5] = math.nan
    losses[100] = 40.0
    norms[200] = 1e4
    losses[250], norms[250] = 40.0, math.inf
    actions = run(make_guard(), losses, norms, lag)
    assert set(actions) == {Action.CONTINUE}
    lines = journal(tmp_path)
    assert [line["step"] for line in lines] == [6, 101, 201, 251]
    reasons = ["loss not finite", "loss spike", "gradient norm blow-up", "loss spike, gradient norm not finite"]
    assert [line["reason"] for line in lines] == reasons
    assert lines[0]["loss"] == "NaN" and lines[3]["grad_norm"] == "Infinity"
    assert (lines[1]["data_step"], lines[1]["first_sample"], lines[1]["last_sample"]) == (100, 400, 403)
    before = losses[[*range(5), *range(6, 100)]].astype(np.float64)
    assert lines[1]["median_loss"] == pytest.approx(np.median(before), rel=1e-5)
    assert lines[2]["median_grad_norm"] == pytest.approx(np.median(norms[70:200]), rel=0.1)
    assert lines[1]["loss_z"] > 6 > lines[1]["grad_norm_z"] and lines[2]["grad_norm_z"] > 6 > lines[2]["loss_z"]


def test_a_run_that_skips_on_and_on_is_stopped_with_a_diagnosis(
    make_guard: MakeGuard, curve: Curve, tmp_path: Path
) -> None:
    losses, norms = curve(1, 200)
    losses[100:] = math.nan
    guard = make_guard(max_skips_in_row=5)
    actions = run(guard, losses, norms)
    assert actions.index(Action.STOP) == 105
    assert all(action is Action.STOP for action in actions[105:])
    assert "step 106" in guard.diagnosis() and "spike.max_skips_in_row=5" in guard.diagnosis()
    stops = [line for line in journal(tmp_path) if line["event"] == "stop"]
    assert [stop["step"] for stop in stops] == [106] and "resume=never" in stops[0]["reason"]


def test_scattered_skips_beyond_the_budget_stop_the_run(make_guard: MakeGuard, curve: Curve) -> None:
    losses, norms = curve(2, 400)
    losses[100:400:20] = 50.0
    guard = make_guard(budget_skips=4, budget_steps=70)
    assert set(run(guard, losses, norms)) == {Action.CONTINUE}  # never more than 4 within 70 steps
    guard = make_guard(budget_skips=4, budget_steps=90)
    actions = run(guard, losses[:181], norms[:181])
    assert actions.index(Action.STOP) == 180
    assert "5 of the last 90 steps were skipped, spike.budget_skips=4" in guard.diagnosis()
    assert "none of these steps touched the weights" in guard.diagnosis()  # the steps between them did
    assert "spike.min_rise_nats=" not in guard.diagnosis()  # no text is 46 nats worse than the rest


@pytest.mark.parametrize("saved", [30, 150, 152, 160])
def test_a_killed_and_resumed_run_decides_and_journals_as_one_that_was_not(
    mesh: Any, plan: Any, curve: Curve, tmp_path: Path, saved: int
) -> None:
    losses, norms = curve(3, 400)
    losses[[20, 150, 151, 153, 300]] = [math.nan, 50.0, 50.0, math.nan, 50.0]
    cpu = torch.device("cpu")
    straight, first, second = (
        SkipGuard(mesh, plan, cpu, tmp_path / folder, budget_skips=4) for folder in ("straight", "killed", "killed")
    )
    expected = run(straight, losses, norms)
    assert Action.STOP in expected
    run(first, losses[:saved], norms[:saved])
    tensors, facts = copy.deepcopy(first.tensors()), copy.deepcopy(first.facts())
    run(first, losses[saved : saved + 10], norms[saved : saved + 10], first_step=saved + 1)  # lost with the kill
    for name, tensor in second.tensors().items():
        tensor.copy_(tensors[name])
    second.restore(facts)
    actions = run(second, losses[saved:], norms[saved:], first_step=saved + 1)
    assert actions == expected[saved:] and second.diagnosis() == straight.diagnosis()
    assert journal(tmp_path / "killed") == journal(tmp_path / "straight")
    redone = [line["step"] for line in journal(tmp_path / "killed", "journal.dropped.jsonl")]
    assert redone == [step + 1 for step in (20, 150, 151, 153) if saved <= step < saved + 10]


def test_after_its_stop_a_run_begins_with_new_counts(make_guard: MakeGuard, curve: Curve) -> None:
    losses, norms = curve(3, 300)
    losses[100:] = math.nan
    guard = make_guard(max_skips_in_row=5)
    assert run(guard, losses[:108], norms[:108]).index(Action.STOP) == 105
    guard.restore(orjson.loads(orjson.dumps(guard.facts())))
    assert guard.diagnosis() == ""
    assert run(guard, losses[108:], norms[108:], first_step=109).index(Action.STOP) == 5


def test_only_the_main_rank_writes_and_all_decide_alike(mesh: Any, plan: Any, curve: Curve, tmp_path: Path) -> None:
    losses, norms = curve(1, 120)
    losses[90:] = math.nan
    other = type(mesh)(rank=1, world_size=2, local_rank=1, device=mesh.device)
    one = SkipGuard(mesh, plan, mesh.device, tmp_path / "main")
    two = SkipGuard(other, plan, mesh.device, tmp_path / "other")
    assert run(one, losses, norms) == run(two, losses, norms)
    assert one.facts() == two.facts() and one.diagnosis() == two.diagnosis()
    assert journal(tmp_path / "main") and not (tmp_path / "other").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_judging_on_a_gpu_never_waits_and_gives_the_same_verdicts(
    mesh: Any, plan: Any, curve: Curve, make_guard: MakeGuard, tmp_path: Path
) -> None:
    losses, norms = curve(5, 300)
    losses[[10, 150]] = [math.nan, 50.0]
    norms[200:] *= 60  # a new level
    guard = SkipGuard(mesh, plan, torch.device("cuda"), tmp_path)
    pairs = list(zip(torch.from_numpy(losses).cuda(), torch.from_numpy(norms).cuda(), strict=True))
    torch.cuda.set_sync_debug_mode("error")
    try:
        verdicts = [guard.judge(loss, norm) for loss, norm in pairs]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [bool(verdict[0]) for verdict in verdicts] == judge_all(make_guard(), losses, norms)


def test_no_guard_lets_everything_through() -> None:
    guard = NoGuard()
    assert guard.judge(torch.tensor(math.nan), torch.tensor(math.inf)).tolist() == [0]
    assert guard.decide(Record(1, 0, 1e-3, 0.0, math.nan, math.inf, False, 8, False)) is Action.CONTINUE
    assert guard.tensors() == {} and guard.facts() == {} and guard.diagnosis() == ""


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("threshold", 0.0),
        ("threshold", math.nan),
        ("min_rise_nats", -1.0),
        ("min_norm_ratio", 1.0),
        ("min_norm_jump", 0.9),
        ("window_steps", 0),
        ("min_accepted_steps", 0),
        ("min_accepted_steps", 129),
        ("max_skips_in_row", 0),
        ("budget_skips", 0),
        ("budget_steps", 0),
    ],
)
def test_settings_that_cannot_work_are_named(make_guard: MakeGuard, setting: str, value: float) -> None:
    with pytest.raises(SettingError, match=f"^{setting}: {value} is not allowed; give a number "):
        make_guard(**{setting: value})


def test_another_guards_state_is_refused(make_guard: MakeGuard) -> None:
    with pytest.raises(GuardError, match="another guard"):
        make_guard().restore({})


def test_gradients_a_thousand_times_as_large_are_no_new_level(make_guard: MakeGuard, curve: Curve) -> None:
    losses, norms = curve(8, 200)
    norms[100:] *= 1e4
    guard = make_guard()
    assert run(guard, losses, norms).index(Action.STOP) == 105
    assert "he weights are spoilt, or this machine is faulty" in guard.diagnosis()
    losses, norms = curve(8, 200)
    norms[100:108] *= 1e4
    guard = make_guard(rewind=Rewinds())
    assert run(guard, losses, norms)[100:103] == [Action.CONTINUE, Action.CONTINUE, Action.REWIND]


def test_the_norms_of_a_hot_run_are_let_through(make_guard: MakeGuard) -> None:
    """As recorded: 2 layers of 32, 4 x 32 tokens, lr 1e-2. Norms of up to 31 medians, with others as high before."""
    random = np.random.default_rng(0)
    norms = np.exp(0.35 * random.normal(size=600)).astype(np.float32)
    tail = random.random(600) < 0.05
    norms[tail] *= random.uniform(2, 20, size=600)[tail].astype(np.float32)
    losses = (6 + 0.35 * random.normal(size=600)).astype(np.float32)
    assert (norms[200:] > 9 * np.median(norms)).sum() > 3
    assert not any(judge_all(make_guard(), losses, norms))
    norms[400] = 1e3
    assert [step for step, bad in enumerate(judge_all(make_guard(), losses, norms)) if bad] == [400]
