"""The guard in real runs: one that goes well is left alone, and one that was stopped goes on as its diagnosis says."""

from __future__ import annotations

import json
import re
import shutil
import sysconfig
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pretrain.metrics.lines import read_metrics
from tests.lines import TINY

TRAIN = Path(__file__).parents[3] / "launch" / "train.py"

pytestmark = pytest.mark.slow
Type = Callable[..., str]


@pytest.fixture(scope="module")
def type_in(one_thread: dict[str, str], typed: Any) -> Type:
    def type_it(folder: Path, *arguments: str, code: int = 0) -> str:
        found, text = typed.start(TRAIN, arguments, folder, one_thread).wait()
        assert found == code, text
        return str(text)

    return type_it


@pytest.fixture
def type_line(type_in: Type, tmp_path: Path) -> Type:
    return partial(type_in, tmp_path)


@pytest.fixture(scope="module")
def run(data_dir: Path) -> list[str]:
    kept = [text for text in TINY if not text.startswith(("eval.", "logger="))]
    kept += [f"data.path={data_dir}", "eval=none", "logger=none", "run_name=x"]
    return [*kept, "trainer.micro_batch_size=8"]


@pytest.fixture
def larger_vocabulary(tmp_path: Path, write_data: Callable[..., None]) -> Path:
    """With it the gradients grow several times in a few steps, when the first plateau is left, while the loss falls."""
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:60]
    texts = [path.read_text(encoding="utf-8")[:20_000] for path in modules]
    write_data(tmp_path / "data/larger", {"pydocs": texts[2:]}, {"pydocs": texts[:2]}, vocab_size=4096)
    return tmp_path / "data/larger"


def test_a_run_that_goes_well_is_not_stopped(
    type_line: Type, run: list[str], tmp_path: Path, larger_vocabulary: Path
) -> None:
    kept = [text for text in run if not text.startswith("data.path=")]
    line = [*kept, "schedule=constant", "seed=3", f"data.path={larger_vocabulary}"]  # many skips without the rule
    text = type_line(*line, "trainer.max_steps=400")
    assert "finished at step 400" in text
    lines = list(read_metrics(tmp_path / "runs/x/metrics.jsonl"))
    assert sum(line["skipped"] for line in lines) < 400 / 10
    assert sum(line["loss"] for line in lines[-20:]) / 20 < lines[0]["loss"] - 0.9


@pytest.fixture(scope="module")
def stopped_once(type_in: Type, run: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run that learns well and then far too fast, until the guard stops it: its folder and the line that did."""
    folder = tmp_path_factory.mktemp("stopped")
    kept = [*run, "schedule=constant", "checkpoint.every_steps=40"]
    type_in(folder, *kept, "trainer.max_steps=80")
    line = [*kept, "trainer.max_steps=120", "optim.lr=10"]
    text = type_in(folder, *line, "allow_change=[trainer.max_steps,optim.lr]", code=3)
    assert "stopped at step" in text
    return folder, line


@pytest.fixture
def stopped(stopped_once: tuple[Path, list[str]], tmp_path: Path) -> list[str]:
    """A copy of that run, for a test to go on with: the line."""
    folder, line = stopped_once
    shutil.copytree(folder / "runs", tmp_path / "runs")
    return line


def reason(tmp_path: Path) -> str:
    return str(json.loads((tmp_path / "runs/x/status.json").read_text())["reason"])


def test_the_way_back_of_the_diagnosis_leads_on(type_line: Type, stopped: list[str], tmp_path: Path) -> None:
    said = re.search(r"resume=(\S+) optim\.lr=\.\.\. (allow_change=\[optim\.lr\])", reason(tmp_path))
    assert said is not None
    assert said[1] == "runs/x/checkpoints/step_00000080"
    assert "finished at step 120" in type_line(*stopped, f"resume={said[1]}", "optim.lr=6e-4", said[2])
    assert [line["step"] for line in read_metrics(tmp_path / "runs/x/metrics.jsonl")] == list(range(1, 121))


def test_the_same_line_goes_back_to_before_the_spoilt_weights_and_does_the_same_again(
    type_line: Type, stopped: list[str], tmp_path: Path
) -> None:
    before = json.loads((tmp_path / "runs/x/status.json").read_text())["step"]
    text = type_line(*stopped, code=3)
    assert re.search(rf"step_{before:08d}: labelled bad: .*\n  moved to step_{before:08d}.set_aside1", text)
    assert "from step 80 of 120" in text and f"stopped at step {before}: " in text
    assert "checkpoints/step_00000080 optim.lr=" in reason(tmp_path)  # never one with the spoilt weights


def test_who_names_what_was_labelled_bad_goes_on_from_it_with_new_counts(
    type_line: Type, stopped: list[str], tmp_path: Path
) -> None:
    before = json.loads((tmp_path / "runs/x/status.json").read_text())["step"]
    text = type_line(*stopped, f"resume=runs/x/checkpoints/step_{before:08d}", code=3)
    assert f"from step {before} of 120" in text and "taken all the same, it was asked for" in text
    # as from the start
    assert re.search(rf"stopped at step {before + 8}: 6 steps in a row .*, up to step {before + 6};", text)


@pytest.mark.parametrize("other", ["spike=none", "spike.window_steps=100", "spike.min_rise_nats=100000"])
def test_another_guard_goes_on_from_a_stop(type_line: Type, stopped: list[str], tmp_path: Path, other: str) -> None:
    shutil.copytree(tmp_path / "runs/x", tmp_path / "runs/y")
    text = type_line(*stopped, "run_name=y", other, f"allow_change=[{other.partition('=')[0]}]")
    assert "finished at step 120" in text
    assert ("saved with another guard" in text) == (other != "spike.min_rise_nats=100000")


def test_what_skips_alone_is_told_how_to_pass_over_the_batches(
    type_line: Type, stopped: list[str], tmp_path: Path
) -> None:
    said = re.search(r"(spike=rewind) (allow_change=\[spike\]) passes over them", reason(tmp_path))
    assert said is not None
    text = type_line(*stopped, said[1], said[2], code=3)  # it is the rate that is to blame here
    assert "back to step 40; batches 40 to 166 (samples 320 to 1335) are passed over" in text
    assert "neither other batches nor a lower learning rate for a while have helped" in text
