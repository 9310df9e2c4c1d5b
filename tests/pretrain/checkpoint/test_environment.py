"""What a checkpoint was made with: flat, and true of the code that ran."""

from __future__ import annotations

import importlib
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from foundation.files import read_json
from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.environment import REPOSITORY, code_version, environment, hash_of_package
from pretrain.mesh import Mesh
from pretrain.types import TrainState


def test_it_names_versions_device_and_code(mesh: Mesh) -> None:
    found = environment(mesh)
    assert all(isinstance(value, str) and value for value in found.values())
    assert found["python"] == platform.python_version()
    assert (found["torch"], found["numpy"]) == (torch.__version__, np.__version__)
    assert (found["device"], found["world_size"]) == ("cpu", "1")
    assert found["code"] == code_version(REPOSITORY)


def test_every_checkpoint_holds_it(saved: Path, mesh: Mesh) -> None:
    assert read_json(saved / "facts.json")["environment"] == environment(mesh)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    (folder / "pretrain").mkdir(parents=True)
    (folder / "pretrain" / "one.py").write_text("a = 1\n")
    return folder


@pytest.fixture
def git() -> Callable[..., None]:
    def run(folder: Path, *arguments: str) -> None:
        named = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", *named, "-C", str(folder), *arguments], check=True, capture_output=True)

    return run


def test_a_clone_is_named_by_its_commit_and_whether_it_differs(clone: Path, git: Callable[..., None]) -> None:
    git(clone, "init")
    git(clone, "add", ".")
    git(clone, "commit", "-m", "one")
    commit = subprocess.run(["git", "-C", str(clone), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    clean = code_version.__wrapped__(clone)
    assert clean.startswith(f"git {commit[:12]}, sources ")
    (clone / "pretrain" / "one.py").write_text("a = 2\n")
    changed = code_version.__wrapped__(clone)
    assert changed.startswith(f"git {commit[:12]} + changes, sources ")
    assert changed.rpartition(" ")[2] != clean.rpartition(" ")[2]


@pytest.mark.parametrize("how", ["no repository", "a part of another one", "no git"])
def test_without_a_commit_of_its_own_the_sources_are_hashed(
    clone: Path, git: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    if how == "a part of another one":
        git(tmp_path, "init")
    if how == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    found = code_version.__wrapped__(clone)
    assert found.startswith("sources ") and len(found) == len("sources ") + 12
    (clone / "launch").mkdir()
    (clone / "launch" / "two.py").write_text("")
    assert code_version.__wrapped__(clone) != found


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of a user's, whose model calls a helper, and a lone module."""
    folder = tmp_path / "users_own"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "model.py").write_text("class Model: ...\n")
    (folder / "helper.py").write_text("a = 1\n")
    (tmp_path / "users_lone.py").write_text("class Guard: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    hash_of_package.cache_clear()
    for name in ("users_own.model", "users_lone"):
        importlib.import_module(name)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("users_")]:
        del sys.modules[name]
    hash_of_package.cache_clear()


@pytest.mark.parametrize("changed", ["users_own/helper.py", "users_own/new.py", "users_lone.py"])
def test_a_user_s_package_is_known_by_all_of_its_code(mesh: Mesh, users: Path, changed: str) -> None:
    config = {
        "model": {"_target_": "users_own.model.Model", "parts": [{"_target_": "torch.nn.GELU"}]},
        "spike": {"_target_": "users_lone.Guard"},
        "optim": {"_target_": "pretrain.optim.adamw.AdamW"},
    }
    before = environment(mesh, config)
    assert before.keys() - environment(mesh).keys() == {"code.users_own", "code.users_lone"}
    (users / changed).write_text("a = 2\n")
    assert environment(mesh, config) == before  # what runs is what was imported
    hash_of_package.cache_clear()  # as in another process
    differing = {key for key, text in environment(mesh, config).items() if text != before[key]}
    assert differing == {f"code.{Path(changed).parts[0].removesuffix('.py')}"}


def test_a_change_of_it_is_shown_when_the_run_goes_on(
    mesh: Mesh, users: Path, checkpointer: DcpCheckpoint, make_state: Callable[..., TrainState]
) -> None:
    gate = {"seed": 1, "config": {"model": {"_target_": "users_own.model.Model"}}}
    checkpointer.save(10, make_state(10, gate=gate))
    (users / "users_own/helper.py").write_text("a = 2\n")
    hash_of_package.cache_clear()
    live = make_state(99, gate=gate)
    assert checkpointer.load(live) and checkpointer.resumption is not None
    (change,) = checkpointer.resumption.changes
    assert change.key == "environment.code.users_own" and change.matters and change.may_go_on
