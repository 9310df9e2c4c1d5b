"""Whose a run's folder is, and what may differ from run to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundation.errors import ConfigError
from pretrain.run_files import read_status
from pretrain.run_folder import (
    RunExists,
    begin,
    claim,
    move_aside,
    require_name,
    require_resume,
    status_stamp,
    write_status,
)
from pretrain.types import Status

TREE: dict[str, Any] = {
    "optim": {"lr": 1e-3},
    "seed": 1,
    "logger": {"x": 1},
    "data": {"path": "d", "prefetch_steps": 2},
    "model": {"num_layers": 1},
    "trainer": {"seq_len": 1, "global_batch_size": 1},
}


def trained(folder: Path, seed: int = 1) -> Path:
    """A folder whose run has something to lose."""
    claim(folder, TREE | {"seed": seed}, [])
    (folder / "metrics.jsonl").touch()
    return folder


def test_a_start_that_failed_leaves_the_folder_to_another_config(tmp_path: Path) -> None:
    claim(tmp_path / "run", TREE, [])
    assert not claim(tmp_path / "run", TREE | {"seed": 2}, [])
    assert "seed: 2" in (tmp_path / "run/config.yaml").read_text()


def test_the_same_config_may_go_on(tmp_path: Path) -> None:
    claim(tmp_path / "run", TREE, [])
    before = (tmp_path / "run/config.yaml").read_bytes()
    claim(tmp_path / "run", TREE, [])
    assert (tmp_path / "run/config.yaml").read_bytes() == before


def test_a_free_key_may_differ(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    claim(tmp_path / "run", TREE | {"logger": {"x": 2}, "data": {"path": "d", "prefetch_steps": 9}}, [])


def test_a_key_that_only_begins_like_a_free_one_may_not(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    with pytest.raises(
        RunExists, match=r'data\.path_of_more  nothing  "e"  needs .*\n  loggers            nothing  1    needs'
    ):
        claim(tmp_path / "run", TREE | {"loggers": 1, "data": TREE["data"] | {"path_of_more": "e"}}, [])


def test_checkpoints_alone_make_it_a_run(tmp_path: Path) -> None:
    claim(tmp_path / "run", TREE, [])
    (tmp_path / "run/checkpoints").mkdir()
    with pytest.raises(RunExists, match=r"seed  1 +2 +refused: "):
        claim(tmp_path / "run", TREE | {"seed": 2}, [])


def test_where_there_is_a_checkpoint_it_is_what_is_compared(tmp_path: Path) -> None:
    claim(tmp_path / "run", TREE, [])
    (tmp_path / "run/checkpoints/step_00000010").mkdir(parents=True)
    assert claim(tmp_path / "run", TREE | {"seed": 2}, [])
    assert not claim(tmp_path / "run", TREE | {"logger": {"x": 2}}, [])
    with pytest.raises(RunExists, match="seed"):  # checkpoint=none opens none
        claim(tmp_path / "run", TREE | {"seed": 2}, [], saves=False)


def test_another_key_is_refused_with_both_values_and_what_to_do(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    with pytest.raises(RunExists) as caught:
        claim(tmp_path / "run", TREE | {"optim": {"lr": 2e-3}, "precision": 2}, [])
    for part in (
        "optim.lr   0.001    0.002  needs allow_change=[optim.lr]",
        "precision  nothing  2      needs allow_change=[precision]",
        "run_name=",
        "resume=never",
        "to go on so: allow_change=[optim.lr,precision]; or ",
    ):
        assert part in str(caught.value)


def test_the_config_shows_the_free_keys_that_the_run_goes_on_with(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run")
    free = TREE | {"logger": {"x": 2}}
    assert not claim(folder, free, [])
    assert "x: 2" not in (folder / "config.yaml").read_text()  # it may still be refused: nothing has begun
    begin(folder, free)
    assert "x: 2" in (folder / "config.yaml").read_text()


@pytest.mark.parametrize("damage", [b"seed: [1,\n", b"\xff\xfe\x00", b"- a list\n"])
def test_a_damaged_config_may_be_deleted(tmp_path: Path, damage: bytes) -> None:
    folder = trained(tmp_path / "run")
    (folder / "checkpoints/step_00000010").mkdir(parents=True)
    (folder / "config.yaml").write_bytes(damage)
    with pytest.raises(
        ConfigError, match=r"config\.yaml is damaged; restore it, or delete it: the same line writes it"
    ):
        claim(folder, TREE, [])
    (folder / "config.yaml").unlink()
    assert not claim(folder, TREE, [])
    assert "seed: 1" in (folder / "config.yaml").read_text()


def test_an_allowed_change_becomes_the_runs_config_when_it_goes_on(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    changed = TREE | {"optim": {"lr": 2e-3}}
    for _ in range(2):
        assert claim(tmp_path / "run", changed, ["optim.lr"])
    begin(tmp_path / "run", changed)
    assert not claim(tmp_path / "run", changed, [])


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("seed", {"seed": 2}),
        ("model.num_layers", {"model": {"num_layers": 2}}),
        ("trainer.seq_len", {"trainer": TREE["trainer"] | {"seq_len": 2}}),
        ("trainer.global_batch_size", {"trainer": TREE["trainer"] | {"global_batch_size": 2}}),
        ("data.mask_after_eot", {"data": TREE["data"] | {"mask_after_eot": 2}}),
    ],
)
def test_what_makes_it_another_run_cannot_be_allowed(tmp_path: Path, key: str, changed: dict[str, Any]) -> None:
    trained(tmp_path / "run")
    with pytest.raises(RunExists, match=f"{key} +(1|nothing) +2 +refused: ") as caught:
        claim(tmp_path / "run", TREE | changed, [key])
    assert "go on so" not in str(caught.value)


def test_an_old_folder_is_kept_under_the_next_number(tmp_path: Path) -> None:
    for seed in range(3):
        move_aside(tmp_path / "run")
        trained(tmp_path / "run", seed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.1", "run.2"]
    assert "seed: 0" in (tmp_path / "run.1/config.yaml").read_text()


def test_a_start_that_failed_is_not_kept(tmp_path: Path) -> None:
    claim(tmp_path / "run", TREE, [])  # nor what a sweep writes for a trial that is about to start
    move_aside(tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_status_is_read_back_and_forgotten(tmp_path: Path) -> None:
    assert read_status(tmp_path) == {}
    write_status(tmp_path, Status.PREEMPTED, "a signal", 7)
    assert status_stamp(tmp_path) is not None
    assert read_status(tmp_path) == {"status": "preempted", "reason": "a signal", "step": 7}
    begin(tmp_path, TREE)
    assert read_status(tmp_path) == {}
    assert status_stamp(tmp_path) is None


@pytest.mark.parametrize("name", ["../evil", "a/../../b", "/elsewhere/x", "", ".", "a//b", "a/", "./a"])
def test_a_name_that_leaves_runs_dir_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"run_name: .* is no name of a folder inside runs_dir"):
        require_name(name)


@pytest.mark.parametrize("name", ["a", "sweep/optim.lr_0.001-0a1b2c3d", "..a", "a..b", "世界 1"])
def test_a_name_inside_runs_dir_is_taken(name: str) -> None:
    require_name(name)


@pytest.mark.parametrize("resume", [True, False, None, 60, "yes", "Auto", "", "???"])
def test_a_word_that_resume_does_not_know_is_answered_with_what_it_does(resume: object) -> None:
    with pytest.raises(
        ConfigError, match=r"^resume: .* is none of auto .*, never .* or a checkpoint's folder, such as"
    ):
        require_resume(resume)


def test_resume_takes_its_words_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "step_00000010").mkdir()
    for resume in ("auto", "never", "step_00000010", "runs/of_another_machine/checkpoints/step_00000010"):
        require_resume(resume)
