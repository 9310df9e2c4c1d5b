"""launch/replay.py as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import ConfigError
from launch.pairs import nearest_run
from launch.replay import Settings, parse

LAUNCH = Path(__file__).parents[2] / "launch"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["step=3"], "run: missing; such as run=runs/gpt_small"),
        (["run=runs/x"], "step: missing; such as step=1234"),
        (["run=runs/x", "step=0"], "step: '0' is not a whole number from 1 on"),
        (["run=runs/x", "step=three"], "step: 'three' is not a whole number"),
        (["run=", "step=1"], "run: is empty; give a path"),
        (["run=runs/x", "step=1", "step=2"], "step: given twice"),
        (["run=runs/x", "stp=1"], "stp: unknown key, did you mean 'step'?"),
        (["run"], "run: unknown key; arguments are key=value"),
    ],
)
def test_a_mistyped_line_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(words)
    assert str(error.value).startswith(said)


def test_a_line_is_read() -> None:
    assert parse(["run=runs/x", "step=7", "show=0"]) == Settings(run=Path("runs/x"), step=7, show=0)


def test_a_run_that_is_not_there_is_answered_with_one_of_a_name_like_it(tmp_path: Path) -> None:
    for name in ("ref_1", "gpt_small"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    assert nearest_run(tmp_path / "gpt_smal") == f", did you mean {str(tmp_path / 'gpt_small')!r}?"
    assert nearest_run(tmp_path / "nothere") == ""  # the folder that both lie in makes them no more alike


@pytest.mark.slow
def test_a_step_of_two_ranks_is_shown_with_its_bits(
    tiny: list[str], tmp_path: Path, one_thread: dict[str, str], typed: Any
) -> None:
    line = [
        *(text for text in tiny if not text.startswith("eval.")),
        "eval=none",
        "run_name=x",
        "checkpoint.every_steps=4",
        "trainer.max_steps=8",
    ]
    code, text = typed.start(LAUNCH / "train.py", line, tmp_path, one_thread, ranks=2).wait()
    assert code == 0, text
    asked = ["run=runs/x", "step=7", "show=2", f"write={tmp_path / 'box'}"]
    before = sorted(path.name for path in (tmp_path / "runs").rglob("*"))
    code, text = typed.start(LAUNCH / "replay.py", asked, tmp_path, one_thread, ranks=2).wait()
    assert code == 0, text
    assert "step 7, batch 6: from runs/x/checkpoints/step_00000004, 3 steps done again" in text
    assert "every step had the bits that were logged" in text and "loss per rank: 0: " in text
    assert sorted(path.name for path in (tmp_path / "runs").rglob("*")) == before
    assert json.loads((tmp_path / "box/step.json").read_text())["step"] == 7
    code, text = typed.start(LAUNCH / "replay.py", ["run=runs/xx", "step=7"], tmp_path, one_thread).wait()
    assert code == 2 and "error: run: runs/xx is not the folder of a run, did you mean 'runs/x'?" in text
