"""Several evaluators at one seat: each at its own steps, fields of all in one line, none over another's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import ConfigError
from pretrain.evaluate.evaluator import NoEval
from pretrain.evaluate.evaluators import Evaluators
from pretrain.metrics.lines import read_metrics
from pretrain.seats import Evaluator, nothing


class Constant(Evaluator):
    """Measures a number that is known, in two parts."""

    def __init__(self, field: str, every_steps: int) -> None:
        self._field, self._every_steps = field, every_steps

    def due(self, step: int) -> bool:
        return step % self._every_steps == 0

    def describe(self) -> str:
        return f"{self._field} every {self._every_steps} steps"

    def evaluate(self, step: int, between: Callable[[], None] = nothing) -> dict[str, Any]:
        for _ in range(2):
            between()
        return {self._field: step / 2}


TWO = Evaluators({"one": Constant("a", 4), "two": Constant("b", 6), "none": NoEval()})


def test_each_measures_at_its_own_steps() -> None:
    assert [step for step in range(1, 13) if TWO.due(step)] == [4, 6, 8, 12]
    assert TWO.evaluate(4) == {"a": 2.0}
    assert TWO.evaluate(6) == {"b": 3.0}
    assert TWO.evaluate(12) == {"a": 6.0, "b": 6.0}
    assert TWO.describe() == "one: a every 4 steps; two: b every 6 steps; none: none"
    nobody = Evaluators({})
    assert (nobody.due(4), nobody.evaluate(4), nobody.describe()) == (False, {}, "none")


def test_a_stop_is_asked_between_the_parts_of_all() -> None:
    asked: list[int] = []
    TWO.evaluate(12, lambda: asked.append(1))
    assert len(asked) == 4


def test_a_field_of_two_names_both() -> None:
    alike = Evaluators({"one": Constant("a", 2), "other": Constant("b", 2), "two": Constant("a", 3)})
    assert alike.evaluate(2) == {"a": 1.0, "b": 1.0}
    with pytest.raises(
        ConfigError, match=r"^eval\.evaluators: 'one' and 'two' both give the field 'a' of step 6; rename .*\.two$"
    ):
        alike.evaluate(6)


OWN = """
from pretrain.seats import Evaluator
class Answer(Evaluator):
    def __init__(self, every_steps: int, field: str = "answer") -> None:
        self.every_steps, self.field = every_steps, field
    def due(self, step):
        return step % self.every_steps == 0
    def describe(self):
        return f"an answer every {self.every_steps} steps"
    def evaluate(self, step, between=lambda: None):
        between()
        return {self.field: 42.0}
"""


@pytest.mark.slow
def test_an_evaluator_of_ones_own_stands_beside_the_usual_one(
    tmp_path: Path, tiny: list[str], one_thread: dict[str, str], typed: Any
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/answers.py").write_text(OWN)
    run = [text.replace("eval.", "eval.evaluators.loss.") for text in tiny]
    run += ["eval=several", "trainer.max_steps=6", "extra_targets=[mine.]"]
    own = "+eval.evaluators.mine={_target_:mine.answers.Answer,every_steps:2"

    def type_line(*arguments: str, code: int) -> str:
        train, before = Path(__file__).parents[3] / "launch/train.py", "import sys; sys.path.insert(0, '.')"
        found, text = typed.start(train, [*run, *arguments], tmp_path, one_thread, before=before).wait()
        assert found == code, text
        return str(text)

    text = type_line("run_name=x", own + "}", code=0)
    assert "; mine: an answer every 2 steps" in text
    lines = list(read_metrics(tmp_path / "runs/x/metrics.jsonl"))
    assert [line["step"] for line in lines if line.get("answer") == 42.0] == [2, 4, 6]
    assert [line["step"] for line in lines if "val_loss" in line] == [6]
    assert "answer" in (tmp_path / "runs/x/report.html").read_text()
    text = type_line("run_name=y", own + ",field:val_loss}", code=2)
    assert "error: eval.evaluators: 'loss' and 'mine' both give the field 'val_loss' of step 6" in text
    assert "Traceback" not in text
