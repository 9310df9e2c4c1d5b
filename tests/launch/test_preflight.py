"""The command that people type before a training, typed: what it prints, how it exits, that it writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.files import read_json

PREFLIGHT = Path(__file__).parents[2] / "launch" / "preflight.py"
TRAIN = PREFLIGHT.with_name("train.py")

FAST = "optim.lr=1e-2"  # at which so small a model learns by heart in some dozens of steps

pytestmark = pytest.mark.slow

Look = Callable[..., tuple[int, str]]


@pytest.fixture
def typed_in(typed: Any, one_thread: dict[str, str], tmp_path: Path, tiny: list[str]) -> Look:
    """Type a line in a folder of its own; return exit code and output."""

    def type_it(*overrides: str, script: Path = PREFLIGHT, ranks: int = 1, before: str = "") -> tuple[int, str]:
        line = [*tiny, "model=gpt_tiny", "trainer.max_steps=8", "run_name=run", *overrides]
        folder = tmp_path / "here"
        folder.mkdir(exist_ok=True)
        return typed.start(script, line, folder, one_thread, ranks=ranks, before=before).wait()

    return type_it


def verdicts(text: str) -> dict[str, str]:
    """Name of the rung -> its verdict, of the lines that tell one."""
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.startswith(("ok ", "warning ", "STOP "))]
    return {rest[:16].strip(): verdict for verdict, rest in lines}


def test_gpt_tiny_passes_and_nothing_is_written(typed_in: Look, tmp_path: Path) -> None:
    code, text = typed_in("optim.lr=0.003")  # so small a model learns nothing by heart in 300 steps of 6e-4
    assert code == 0, text
    found = verdicts(text)
    assert {"token ids", "first loss", "causality", "gradients"} <= found.keys()
    assert set(found.values()) == {"ok"}, text
    assert "\x1b[" not in text  # no colours where no terminal is
    assert list((tmp_path / "here").iterdir()) == []


def test_a_stop_has_a_code_of_its_own_and_says_of_which_trial_and_what_to_do(typed_in: Look, tmp_path: Path) -> None:
    code, text = typed_in("-m", "optim.lr=6,1e-3")
    assert code == 5, text
    assert verdicts(text)["learning rate"] == "STOP"
    assert text.startswith("trial 0: optim.lr=6\n") and "trial 1" not in text
    assert "not tried: causality" in text
    told = "error: preflight: learning rate: the peak is 1e+04 times the option's own rate of 0.0006: did you mean "
    assert told in text and text.splitlines()[-1] == "so would end trial 0: optim.lr=6"
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize(("script", "number", "name"), [(PREFLIGHT, 15, "SIGTERM"), (TRAIN, 2, "Ctrl-C")])
def test_a_stop_that_is_asked_for_ends_it_amid_a_rung(
    typed_in: Look, tmp_path: Path, script: Path, number: int, name: str
) -> None:
    amid = (
        "import os; from pretrain.debug import gradients\n"
        f"gradients.norms_by_name = lambda model: os.kill(os.getpid(), {number})\n"
    )
    code, text = typed_in(script=script, before=amid)
    told = f"error: stopped by {name} before the first step; nothing was trained"
    assert (code, text.splitlines()[-1]) == (128 + number, told), text
    assert "gradients" not in verdicts(text)
    assert not (tmp_path / "here" / "runs" / "run" / "status.json").exists()


def test_ranks_agree_on_what_one_of_them_finds(typed_in: Look) -> None:
    poison = (
        "import os, torch; from pretrain.model.transformer import Transformer; honest = Transformer.loss_sum\n"
        "def loss_sum(self, *inputs):\n"
        "    total, losses_B = honest(self, *inputs)\n"
        "    return total * (float('nan') if os.environ['RANK'] == '1' else 1.0), losses_B\n"
        "Transformer.loss_sum = loss_sum\n"
    )
    code, text = typed_in(ranks=2, before=poison)
    assert code == 5, text
    assert "STOP     first loss      on rank 1: nan" in text


def test_gradients_that_no_rank_reduces_are_a_stop(typed_in: Look) -> None:
    unreduced = "from pretrain.parallel.ddp import DDP, LossSum\nDDP.wrap = lambda self, model, mesh: LossSum(model)\n"
    code, text = typed_in(ranks=2, before=unreduced)
    assert code == 5, text
    assert verdicts(text)["ranks"] == "STOP"


def test_the_weights_of_a_run_that_goes_on_are_looked_at(typed_in: Look, tmp_path: Path) -> None:
    trained = ["trainer.max_steps=60", "optim.lr=1e-2", "checkpoint.every_steps=30"]
    code, text = typed_in(*trained, script=TRAIN)
    assert code == 0, text
    before = sorted(path for path in tmp_path.rglob("*"))
    code, text = typed_in(*trained, "resume=runs/run/checkpoints/step_00000030")
    assert code == 0, text
    assert "with the weights of step 30" in text
    assert "nats with the weights of step 30, " in text
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_what_its_launcher_would_start_is_started(typed_in: Look) -> None:
    code, text = typed_in("launcher=local", "launcher.processes=2", FAST)
    assert code == 0, text
    assert "2 hold the same weights" in text and text.count("gradients       ") == 1


def test_a_training_takes_a_short_look_when_it_begins_and_none_when_it_goes_on(typed_in: Look, tmp_path: Path) -> None:
    code, text = typed_in("checkpoint.every_steps=4", script=TRAIN, ranks=2)
    assert code == 0, text
    assert text.count("preflight: ") == 1 and "rungs ok" in text
    code, text = typed_in(
        "checkpoint.every_steps=4", "trainer.max_steps=12", "allow_change=[trainer]", script=TRAIN, ranks=2
    )
    assert code == 0, text
    assert "from step 8 of 12" in text and "preflight: " not in text


def test_a_training_that_must_not_begin_leaves_nothing_that_binds(typed_in: Look, tmp_path: Path) -> None:
    code, text = typed_in("optim.lr=6", "launcher=local", "launcher.processes=2", script=TRAIN)
    assert code == 5, text
    assert "started again" not in text
    run_dir = tmp_path / "here" / "runs" / "run"
    status = read_json(run_dir / "status.json")
    assert (status["status"], status["step"], status["final"]) == ("failed", 0, True)
    assert status["reason"].startswith("NotCleared: preflight: learning rate: the peak is 1e+04 times")
    assert read_json(run_dir / "attempts.json") == {"attempts": []}  # no try, and no part of a crash loop
    assert not (run_dir / "metrics.jsonl").exists()
    code, text = typed_in(script=TRAIN)  # another rate: it is no run yet, so nothing is refused
    assert code == 0, text
    assert read_json(run_dir / "status.json")["status"] == "finished"


def test_a_run_in_the_folder_keeps_its_status(typed_in: Look, tmp_path: Path) -> None:
    code, text = typed_in("checkpoint=none", script=TRAIN)
    assert code == 0, text
    status = tmp_path / "here" / "runs" / "run" / "status.json"
    before = status.read_bytes()
    again = ["checkpoint=none", "trainer.max_steps=9", "optim.lr=6", "allow_change=[trainer,optim]"]
    code, text = typed_in(*again, script=TRAIN)
    assert code == 5, text
    assert status.read_bytes() == before


def test_full_runs_the_quick_tests_first(typed_in: Look, tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    here = f"(__import__('pathlib').Path({str(tests)!r}),)"
    before = f"import launch.quick_tests; launch.quick_tests.require_green.__defaults__ = {here}\n"
    before += "launch.quick_tests.MOST_WORKERS = 1\n"  # one process has done with a test before two have met
    (tests / "test_it.py").write_text("def test_it():\n    assert sum([1, 2]) == 4\n")
    code, text = typed_in("trainer.preflight=full", before=before)
    assert code == 5 and "a quick test fails" in text and "1 failed" in text
    assert verdicts(text) == {} and not (tmp_path / "here" / "runs").exists()
    (tests / "test_it.py").write_text("def test_it():\n    assert sum([1, 2]) == 3\n")
    code, text = typed_in("trainer.preflight=full", FAST, script=TRAIN, before=before)
    assert code == 0, text
    assert text.count("1 passed") == 1
    assert verdicts(text)["ranks"] == "ok" and "finished at step 8" in text
