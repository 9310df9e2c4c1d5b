"""What a checkpoint was made with: flat, and true of the code that ran."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from foundation.files import read_json
from pretrain.checkpoint.environment import REPOSITORY, code_version, environment
from pretrain.mesh import Mesh


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
