"""The proof that a run goes on exactly, typed: it holds for ours, and finds what is hidden from a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import ConfigError
from launch.verify.line import Settings, parse, ranks_of

VERIFY = Path(__file__).parents[2] / "launch" / "verify_resume.py"


@pytest.fixture
def verify(tmp_path: Path, one_thread: dict[str, str], typed: Any) -> Callable[..., tuple[int, str]]:
    """Type the line in an empty folder; runs that are kept lie there, too. Its runs find `mine` there."""
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = one_thread | {"TMPDIR": str(tmp_path), "PYTHONPATH": path}

    def verify(*arguments: str) -> tuple[int, str]:
        here = "import sys; sys.path.insert(0, '.')"
        found: tuple[int, str] = typed.start(VERIFY, arguments, tmp_path, environment, before=here).wait()
        return found

    return verify


def rows(text: str) -> dict[str, str]:
    """What -> holds, BROKEN or not tried."""
    table = text.partition("\nwhat ")[2].partition("\n\n")[0].splitlines()[1:]
    return {line.partition("  ")[0]: line.rpartition("  ")[2] for line in table}


@pytest.mark.slow
def test_a_run_that_is_killed_and_one_on_other_ranks_keep_every_promise(
    tmp_path: Path, verify: Callable[..., tuple[int, str]], tiny: list[str]
) -> None:
    budget = "data.mixture={pydocs: {epochs: 30}}"  # far more than the shortened run has room for
    line = [*tiny, "model.dropout=0.1", "eval.max_tokens=500", "schedule.warmup_steps=300", budget]
    own = ["verify.processes=2", "verify.kills=1", "verify.world_sizes=2,1", "verify.steps=12"]
    code, text = verify(*line, *own)
    assert code == 0, text
    found = rows(text)
    assert {"parameters", "optimizer state", "counters", "random states", "metrics.jsonl", "journal.jsonl"} < set(found)
    assert {"samples of a step", "first loss on other ranks"} < set(found)
    assert set(found.values()) == {"holds"}
    assert "every promise holds; shown on CPUs. On GPUs the same holds with trainer.deterministic=true" in text
    assert "  killed after the line of step " in text
    assert list(tmp_path.iterdir()) == []  # nothing is left, nor was anything trained in runs/


HIDDEN = """
from pretrain.optim.schedule import Constant

class Forgetful(Constant):
    \"\"\"Counts its calls: no function of the step, and in no checkpoint.\"\"\"

    calls = 0

    def factor(self, step):
        self.calls += 1
        return 1 / (1 + self.calls)
"""


@pytest.mark.slow
def test_state_that_no_checkpoint_holds_is_found(
    tmp_path: Path, verify: Callable[..., tuple[int, str]], tiny: list[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/hidden.py").write_text(HIDDEN)
    own = ["schedule._target_=mine.hidden.Forgetful", "extra_targets=[mine.]", "schedule=constant"]
    settings = ["verify.processes=1", "verify.kills=1", "verify.world_sizes=null", "verify.steps=12", "verify.seed=5"]
    code, text = verify(*tiny, *own, *settings)
    assert code == 1, text
    found = rows(text)
    assert found["parameters"] == found["optimizer state"] == found["metrics.jsonl"] == "BROKEN"
    assert found["random states"] == "holds" and found["other numbers of ranks"] == "not tried"
    assert "metrics.jsonl" in text and "differ: " in text and "lr of step" in text
    (kept,) = tmp_path.glob("verify_resume_*")
    assert f"kept to look into: {kept}" in text
    assert {"whole", "killed"} == {path.name for path in (kept / "runs").iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("checkpoint=none", "checkpoint: pretrain.checkpoint.checkpointer.NoCheckpoint has no every_steps"),
        ("verify.processes=3", "verify.processes: 3 ranks x trainer.micro_batch_size=2 do not divide"),
        ("optim.lr=0", "optim.lr: 0.0 is not allowed"),
    ],
)
def test_a_run_that_can_not_be_verified_is_refused_before_anything_starts(
    tmp_path: Path, one_thread: dict[str, str], tiny: list[str], typed: Any, override: str, part: str
) -> None:
    code, text = typed.start(VERIFY, [*tiny, override], tmp_path, one_thread).wait()
    assert code == 2 and part in text and "Traceback" not in text and "1 of " not in text
    assert list(tmp_path.iterdir()) == []


def test_its_own_settings_are_told_apart() -> None:
    settings, rest = parse(["model=gpt_tiny", "verify.kills=5", "seed=3", "verify.world_sizes=[2,1]"])
    assert rest == ["model=gpt_tiny", "seed=3"]
    assert settings == Settings(kills=5, world_sizes=(2, 1))
    assert parse(["verify.world_sizes=null"])[0].world_sizes == ()


@pytest.mark.parametrize(
    ("argument", "part"),
    [
        ("verify.kill=3", "verify.kill: unknown key, did you mean 'kills'?; allowed: verify.processes, verify.steps"),
        ("verify.kills=6", "verify.kills: '6' is not allowed; give a whole number from 1 to 5"),
        ("verify.steps=3", "give a whole number from 12 to"),
        ("verify.world_sizes=2,zero", "verify.world_sizes: '2,zero' is not allowed; give up to four numbers of ranks"),
        ("verify.seed", "verify.seed: unknown key"),
    ],
)
def test_a_mistake_in_its_settings_is_named(argument: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse([argument])
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "num_gpus", "ranks"),
    [(None, None, 2), (None, 1, 1), (None, 2, 2), (None, 8, 2), (1, 1, 1), (8, 8, 8), (5, None, 5)],
)
def test_ranks_are_two_where_there_are_two_gpus_or_none_is_used(
    asked: int | None, num_gpus: int | None, ranks: int
) -> None:
    assert ranks_of(asked, num_gpus) == ranks


def test_more_ranks_than_gpus_are_refused_by_their_own_key() -> None:
    with pytest.raises(ConfigError, match=r"^verify\.processes: 2 ranks need a GPU each, and this machine has 1; give"):
        ranks_of(parse(["verify.processes=2"])[0].processes, 1)


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"verify\.seed: given twice; keep one"):
        parse(["verify.seed=1", "verify.seed=2"])
