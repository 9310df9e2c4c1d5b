"""Optimizer, schedule and length changed in mid-run, typed; and runs that can't go on as they were typed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from foundation.files import pretty_json
from foundation.hashes import hash_json
from pretrain.checkpoint.reading import open_checkpoint
from pretrain.metrics.lines import read_metrics

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tiny: list[str]) -> list[str]:
    line = [text for text in tiny if not text.startswith("eval.")]
    return [*line, "eval=none", "run_name=x", "trainer.max_steps=4", "checkpoint.every_steps=2"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test's run is kept for the others."""
    return tmp_path_factory.mktemp("kept") / "x"


@pytest.fixture
def run_dir(terminal: Any, run: list[str], kept: Path) -> Path:
    """The folder of a run of four steps, trained once."""
    folder = Path(terminal.folder / "runs/x")
    if kept.exists():
        shutil.copytree(kept, folder)
    else:
        terminal.type(*run)
        shutil.copytree(folder, kept)
    return folder


def journal(run_dir: Path) -> list[dict[str, Any]]:
    path = run_dir / "journal.jsonl"
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def moments(checkpoint: Path) -> set[str]:
    names = open_checkpoint(checkpoint).metadata.state_dict_metadata
    return {name.rpartition(".")[2] for name in names if name.startswith("optim.")}


def test_another_optimizer_goes_on_with_the_weights_and_says_what_begins_anew(
    terminal: Any, run: list[str], run_dir: Path
) -> None:
    other = [*run, "optim=sgd", "trainer.max_steps=6"]
    refused = terminal.type(*other, code=2)
    assert "to go on so: allow_change=[optim,trainer.max_steps]; or" in refused
    assert journal(run_dir) == [] and moments(run_dir / "checkpoints/step_00000004") == {
        "exp_avg",
        "exp_avg_sq",
        "step",
    }
    text = terminal.type(*other, "allow_change=[optim,trainer.max_steps]")
    parameters = re.search(r"optim begins anew: momentum_buffer of (\d+) parameters begin at zero", text)
    assert parameters
    assert f"optim begins anew: exp_avg, exp_avg_sq, step of {parameters[1]} parameters stay in the checkpoint" in text
    assert "the schedule goes on at step 4 of 6: learning rate 0.00" in text
    assert [line["step"] for line in read_metrics(run_dir / "metrics.jsonl")] == list(range(1, 7))
    assert moments(run_dir / "checkpoints/step_00000006") == {"momentum_buffer"}
    found = {line["key"]: line for line in journal(run_dir)}
    assert found["optim._target_"]["old"] == "pretrain.optim.adamw.AdamW"
    assert found["optim._target_"]["new"] == "pretrain.optim.sgd.SGD"
    assert found["optim._target_"]["step"] == 4
    assert len(found["optim._target_"]["afresh"]) == 2 and found["trainer.max_steps"]["afresh"] == []
    assert "finished at step 6 already" in terminal.type(*other, "allow_change=[optim,trainer.max_steps]")


def test_other_settings_of_the_same_optimizer_keep_its_state(terminal: Any, run: list[str], run_dir: Path) -> None:
    saved = run_dir / "checkpoints/step_00000002"
    back = [*run, f"resume={saved}"]
    swap = ["optim.lr=1e-2", "optim.beta2=0.99", "schedule=constant"]
    asks = re.search(r"to go on so: (allow_change=\S+);", terminal.type(*back, *swap, code=2))
    assert asks and asks[1] == "allow_change=[optim.beta2,optim.lr,schedule]"
    text = terminal.type(*back, *swap, asks[1])
    assert "the optimizer's state goes on as it was saved" in text and "begins anew" not in text
    lines = list(read_metrics(run_dir / "metrics.jsonl"))
    assert lines[1]["lr"] < 1e-3 and lines[2]["lr"] == lines[3]["lr"] == 1e-2
    assert {line["key"] for line in journal(run_dir) if line["event"] == "change"} == {
        "optim.beta2",
        "optim.lr",
        "schedule._target_",
        "schedule.min_lr_frac",
    }


def test_a_change_is_journaled_once_however_often_the_line_is_typed(
    terminal: Any, run: list[str], run_dir: Path
) -> None:
    line = [*run, f"resume={run_dir / 'checkpoints/step_00000002'}", "optim.lr=1e-2", "allow_change=[optim]"]
    for _ in range(2):
        terminal.type(*line)
    assert [line["key"] for line in journal(run_dir) if line["event"] == "change"] == ["optim.lr"]


def test_on_the_way_back_the_journal_keeps_no_change_that_the_run_has_not_made(
    terminal: Any, run: list[str], run_dir: Path
) -> None:
    back = [*run, f"resume={run_dir / 'checkpoints/step_00000002'}"]
    terminal.type(*back, "optim.lr=1e-2", "allow_change=[optim]")
    terminal.type(*back, "allow_change=[optim]")
    assert [line for line in journal(run_dir) if line["event"] == "change"] == []
    dropped = [orjson.loads(line) for line in (run_dir / "journal.dropped.jsonl").read_bytes().splitlines()]
    assert [(line["key"], line["new"], line["step"]) for line in dropped] == [("optim.lr", 0.01, 2)]


def test_with_nothing_changed_nothing_is_told(terminal: Any, run: list[str], run_dir: Path) -> None:
    text = terminal.type(*run, f"resume={run_dir / 'checkpoints/step_00000002'}")
    assert "resume: from step 2 of 4" in text and "what changed" not in text
    assert [line["event"] for line in journal(run_dir)] == ["checkpoint_set_aside"]


def test_other_versions_are_free_shown_and_journaled(terminal: Any, run: list[str], run_dir: Path) -> None:
    line = [*run, f"resume={run_dir / 'checkpoints/step_00000002'}"]
    text = terminal.type(*line, before="import torch; torch.__version__ = '9.9'")  # as if another one were installed
    assert re.search(r'environment\.torch  "2\.\S+"  "9\.9"  free: bits may differ\n', text)
    (found,) = (line for line in journal(run_dir) if line["event"] == "change")
    assert (found["key"], found["new"], found["step"]) == ("environment.torch", "9.9", 2)


def test_a_folder_of_another_model_is_refused_whatever_is_allowed(terminal: Any, run: list[str], run_dir: Path) -> None:
    def files() -> dict[Path, bytes]:
        diaries = (".lock", "ledger.jsonl")  # which every start adds to
        return {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file() and path.name not in diaries}

    before = files()
    text = terminal.type(*run, "model.num_layers=1", "optim.lr=1e-2", "allow_change=[model,optim]", code=2)
    assert "model.num_layers  2       1     refused: the weights are those of the other model" in text
    assert "optim.lr          0.0006  0.01  allowed by allow_change" in text
    assert "set back what is refused; or choose another run_name=" in text and "Traceback" not in text
    assert files() == before


def test_a_checkpoint_of_a_newer_format_asks_for_a_newer_version(terminal: Any, run: list[str], run_dir: Path) -> None:
    path = run_dir / "checkpoints/step_00000004/manifest.json"
    content = orjson.loads(path.read_bytes())
    content.pop("hash")
    content["format"] = 99
    path.write_bytes(pretty_json({**content, "hash": hash_json(content)}))
    text = terminal.type(*run, "trainer.max_steps=6", "allow_change=[trainer]", code=2)
    assert re.search(
        r"error: \S+step_00000004/manifest\.json: format 99, this version reads \d+; update groundwork", text
    )
    assert path.exists() and "Traceback" not in text


def test_a_number_of_ranks_that_does_not_divide_the_batch_shows_the_arithmetic(
    terminal: Any, run: list[str], run_dir: Path
) -> None:
    text = terminal.type(*run, "trainer.max_steps=6", "allow_change=[trainer]", ranks=3, code=2)
    assert "trainer.global_batch_size: 8 is not a multiple of trainer.micro_batch_size x ranks = 2 x 3 = 6" in text
    assert "the nearest that are: 6, 12" in text


def test_a_folder_without_a_whole_checkpoint_is_named_with_what_is_wrong(
    terminal: Any, run: list[str], run_dir: Path
) -> None:
    half = run_dir / "checkpoints/step_00000003"
    shutil.copytree(run_dir / "checkpoints/step_00000002", half)
    (half / "manifest.json").unlink()
    text = terminal.type(*run, f"resume={half}", code=2)
    assert "manifest.json: missing; a folder without a manifest is no checkpoint; name another checkpoint" in text
    for folder in (run_dir / "checkpoints").iterdir():
        (folder / "manifest.json").unlink(missing_ok=True)
    text = terminal.type(*run, "trainer.max_steps=6", "allow_change=[trainer]", code=2)
    assert "runs/x/checkpoints: no checkpoint can be used:\n" in text
    assert "restore one from a backup, or start anew with resume=never" in text
