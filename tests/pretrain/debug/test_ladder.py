"""The ladder: in order, up to the first stop; errors are findings; a short look ends in time; ranks agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from foundation.errors import InputError
from pretrain.debug.ladder import Budget, climb, tried
from pretrain.debug.rung import Finding, Rung, Subject, Verdict, stop, warning
from pretrain.debug.rungs import all_rungs, short_rungs
from pretrain.debug.show import closing
from pretrain.debug.stops import Heard
from pretrain.run import Run


class Does(Rung):
    """A rung that does what it is told."""

    def __init__(self, name: str, act: Callable[[Subject], list[object]], passes: float = 0.0) -> None:
        self.name, self._act, self.passes = name, act, passes

    def check(self, subject: Subject) -> Finding:
        return self.found("a figure", self._act(subject), ["a detail"])  # type: ignore[arg-type]


def fine(name: str, passes: float = 0.0) -> Rung:
    return Does(name, lambda _: [], passes)


def raises(error: BaseException) -> Callable[[Subject], list[object]]:
    def act(_: Subject) -> list[object]:
        raise error

    return act


@pytest.mark.parametrize("is_short", [pytest.param(False, marks=pytest.mark.slow), True])
def test_gpt_tiny_climbs_to_the_top(make: Callable[..., Run], tmp_path: Path, is_short: bool) -> None:
    rungs, said = short_rungs() if is_short else all_rungs(), []
    line = ["model.num_layers=2", f"trainer.max_steps={100_000 if is_short else 100}"]
    line += [] if is_short else ["trainer.seq_len=32", "optim.lr=3e-3"]  # learns by heart sooner
    made = climb(Subject(make(*line), tmp_path / "run", is_short), rungs, said.append)
    assert made.verdict is Verdict.OK, made.findings
    assert [finding.name for finding in said] == [rung.name for rung in rungs]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_short", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_model_that_is_no_transformer_climbs_as_well(
    small: Callable[..., Run], load_module: Callable[[Path], ModuleType], tmp_path: Path, is_short: bool
) -> None:
    faults = load_module(Path(__file__).with_name("faults.py"))
    torch.manual_seed(0)
    run = faults.with_model(small("trainer.max_steps=100", "trainer.seq_len=16"), faults.Recurrent(512))
    subject = Subject(run, tmp_path / "run", is_short)
    found = {rung.name: tried(rung, subject) for rung in (short_rungs() if is_short else all_rungs())}
    told = {name: finding for name, finding in found.items() if finding.verdict is not Verdict.OK}
    assert told.keys() <= {"overfitting"}  # so small, it is half of the way in 300 steps of this rate
    assert not any(finding.verdict is Verdict.STOP for finding in told.values())
    assert found["causality"].figure.endswith("to the bit")
    if not is_short:
        assert found["memory"].details[0].endswith("logits 65.5 kB")  # 32 rows x 512 words in float32


def test_it_ends_at_the_first_stop(small: Callable[..., Run], tmp_path: Path) -> None:
    doubts, broken = Does("two", lambda _: [warning("odd")]), Does("three", lambda _: [warning("odd"), stop("wrong")])
    said: list[Finding] = []
    made = climb(Subject(small(), tmp_path), [fine("one"), doubts, broken, fine("four")], said.append)
    assert [finding.verdict for finding in said] == [Verdict.OK, Verdict.WARNING, Verdict.STOP]
    assert said[2].details == ("wrong", "odd", "a detail")
    assert (made.verdict, made.not_tried) == (Verdict.STOP, ["four"])
    assert closing(made).startswith("preflight: 1 rung ok, 1 warning, STOP at three, not tried: four; ")


@pytest.mark.parametrize(
    ("error", "figure"),
    [
        (InputError("a file: cut short"), "a file: cut short"),
        (KeyError("x"), "failed: KeyError: 'x'"),
        (torch.OutOfMemoryError("x"), "the device has too little memory for it"),
    ],
)
def test_an_error_inside_is_a_finding(small: Callable[..., Run], tmp_path: Path, error: Exception, figure: str) -> None:
    found = tried(Does("one", raises(error)), Subject(small(), tmp_path))
    assert (found.verdict, found.figure) == (Verdict.STOP, figure)


@pytest.mark.parametrize("error", [Heard(15), KeyboardInterrupt()])
def test_a_stop_that_was_asked_for_is_none(small: Callable[..., Run], tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        tried(Does("one", raises(error)), Subject(small(), tmp_path))


def test_an_operation_that_is_not_deterministic_is_named(small: Callable[..., Run], tmp_path: Path) -> None:
    def refused(_: Subject) -> list[object]:
        raise RuntimeError("put_ does not have a deterministic implementation, but you set")

    found = tried(Does("one", refused), Subject(small(), tmp_path))
    assert found.verdict is Verdict.STOP and "trainer.deterministic: true, but put_ has no" in found.figure


def test_what_a_rung_changes_is_put_back_before_the_next(small: Callable[..., Run], tmp_path: Path) -> None:
    seen: list[bool] = []

    def act(subject: Subject) -> list[object]:
        seen.append(subject.run.model.training)
        subject.run.model.eval()
        return []

    climb(Subject(small(), tmp_path), [Does("one", act), Does("two", act)], lambda finding: None)
    assert seen == [True, True]


def test_a_short_look_leaves_out_what_would_take_too_long(small: Callable[..., Run], tmp_path: Path) -> None:
    subject = Subject(small("trainer.max_steps=1000"), tmp_path, is_short=True)  # 12,000 passes
    budget = Budget(subject)
    assert budget.allows(fine("long", 1e9), 0.0)  # nothing is known of its time yet
    budget.learn(fine("first", 2.0), 0.02)
    budget.learn(fine("second", 2.0), 99.0)  # only the first counts
    assert budget.allows(fine("other", 10.0), 1.0)  # 1 % of 12,000 passes of 0.01 s is 1.2 s
    assert not budget.allows(fine("other", 10.0), 1.2)
    slow = Budget(Subject(small("trainer.max_steps=1000000"), tmp_path, is_short=True))
    slow.learn(fine("first", 1.0), 1.0)
    assert slow.allows(fine("other", 10.0), 19.9) and not slow.allows(fine("other", 10.0), 20.1)
    brief = Budget(Subject(small("trainer.max_steps=1"), tmp_path, is_short=True))
    brief.learn(fine("first", 1.0), 0.01)
    assert brief.allows(fine("other", 10.0), 0.8) and not brief.allows(fine("other", 10.0), 1.0)


def test_a_short_look_says_what_it_left_out(small: Callable[..., Run], tmp_path: Path) -> None:
    rungs = [fine("first", 1e-9), fine("long", 1e9), fine("last")]
    made = climb(Subject(small(), tmp_path, is_short=True), rungs, lambda finding: None)
    assert made.left_out == ["long"] and "no time for: long" in closing(made)
    assert [finding.name for finding in made.findings] == ["first", "last"]


def test_findings_cross_ranks_as_they_are() -> None:
    finding = Finding("a", "b", Verdict.WARNING, ("c", "d"))
    assert Finding.from_json(finding.to_json()) == finding
