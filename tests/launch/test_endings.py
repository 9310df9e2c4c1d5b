"""How a run ends, whatever ended it: its exit code, its status.json, and what the same line does next."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pretrain.checkpoint.reading import open_checkpoint
from pretrain.metrics.lines import read_metrics

TRAIN = Path(__file__).parents[2] / "launch" / "train.py"

pytestmark = pytest.mark.slow
Type = Callable[..., str]


@pytest.fixture
def type_line(tmp_path: Path, one_thread: dict[str, str], typed: Any) -> Type:
    """Type launch/train.py with arguments, in an empty folder; return what all ranks printed."""

    def type_it(*arguments: str, code: int = 0, restarts: int = 0, **how: Any) -> str:
        environment = one_thread | {"TORCHELASTIC_RESTART_COUNT": str(restarts)}
        found, text = typed.start(TRAIN, arguments, tmp_path, environment, **how).wait()
        assert found == code, text
        return str(text)

    return type_it


def status(run_dir: Path) -> dict[str, Any]:
    return dict(json.loads((run_dir / "status.json").read_text()))


def lines(run_dir: Path) -> list[dict[str, Any]]:
    """The lines without what a clock says."""
    clocks = ("tokens_per_s", "step_time_s")
    return [
        {key: value for key, value in line.items() if key not in clocks}
        for line in read_metrics(run_dir / "metrics.jsonl")
    ]


def test_the_guards_stop_is_saved_told_and_not_restarted(type_line: Type, tmp_path: Path, tiny: list[str]) -> None:
    run = [*tiny, "run_name=x", "trainer.max_steps=20", "spike.max_skips_in_row=2", "checkpoint.every_steps=100"]
    broken = """
import itertools, pretrain.train as loop
real, calls = loop.norm_of_gradients, itertools.count()
loop.norm_of_gradients = lambda model: real(model) * (float("nan") if next(calls) >= 6 else 1.0)
"""
    text = type_line(*run, ranks=2, before=broken, code=3)
    assert "stopped at step 11: step 9: 3 steps in a row were skipped, spike.max_skips_in_row=2" in text
    ended = status(tmp_path / "runs/x")
    assert (ended["status"], ended["step"]) == ("stopped", 11)
    assert "spike.max_skips_in_row=2" in ended["reason"]
    assert open_checkpoint(tmp_path / "runs/x/checkpoints/step_00000011").facts["num_updates"] == 6
    assert "from step" not in type_line(*run, ranks=2, restarts=1, code=3)  # torchrun restarts whoever leaves with 3
    assert status(tmp_path / "runs/x") == ended
    assert "from step 11 of 20" in type_line(*run, ranks=2)
    found = lines(tmp_path / "runs/x")
    assert [line["step"] for line in found] == list(range(1, 21))
    assert [line["step"] for line in found if line["skipped"]] == [7, 8, 9, 10, 11]
    assert found[-1]["num_updates"] == 15


def test_an_error_of_ours_is_shown_whole_and_written_down(type_line: Type, tmp_path: Path, tiny: list[str]) -> None:
    broken = "import pretrain.main as it; it.train = lambda run: 1 / 0"
    text = type_line(*tiny, "run_name=x", before=broken, code=1)
    assert "Traceback" in text
    assert "in <lambda>" in text
    ended = status(tmp_path / "runs/x")
    assert (ended["status"], ended["reason"]) == ("failed", "ZeroDivisionError: division by zero")
    killed = "import os, pretrain.main as it; it.train = lambda run: os.kill(os.getpid(), 9)"
    type_line(*tiny, "run_name=x", before=killed, code=-9)
    assert not (tmp_path / "runs/x/status.json").exists()  # how it ended before is no answer any more


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_that_one_rank_hears_stops_all(type_line: Type, tmp_path: Path, tiny: list[str], rank: int) -> None:
    heard = f"""
import itertools, os, pretrain.train as loop
real, calls = loop.forward_backward, itertools.count()
def hear(run, batches):
    run.signal.requested |= next(calls) == 5 and os.environ["RANK"] == "{rank}"
    return real(run, batches)
loop.forward_backward = hear
"""
    text = type_line(*tiny, "run_name=x", "trainer.max_steps=20", ranks=2, before=heard)
    assert "preempted at step 5" in text
    assert status(tmp_path / "runs/x")["step"] == 5
    assert "from step 5 of 20" in type_line(*tiny, "run_name=x", "trainer.max_steps=20", ranks=2)


def test_what_rank_0_was_told_holds_for_all(type_line: Type, tmp_path: Path, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=3", "run_name=x"]
    other = (
        "import os, sys\nif os.environ['RANK'] == '1': sys.argv += ['optim.lr=0.5', 'seed=3', 'trainer.max_steps=2']"
    )
    type_line(*run, "runs_dir=same", ranks=2)
    type_line(*run, "runs_dir=other", ranks=2, before=other)
    assert lines(tmp_path / "same/x") == lines(tmp_path / "other/x")
