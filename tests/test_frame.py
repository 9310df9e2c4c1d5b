"""The files around the source: make, the lock, what runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # `make test` may be what runs this: its own flags are not these calls'
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, check=False, env=env)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the files that make looks at."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_make_alone_says_what_there_is() -> None:
    shown = make(ROOT)
    assert shown.returncode == 0
    for target in ("demo", "test", "check", "prove", "lock", "clean", "TORCH_INDEX", "PYTHON"):
        assert target in shown.stdout


def test_a_python_that_does_not_fit_is_refused_by_name(clone: Path) -> None:
    python = clone / "python3.10"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    refused = make(clone, "install", f"PYTHON={python}")
    assert refused.returncode != 0
    assert f"no Python 3.11 to 3.13 among: {python}" in refused.stderr
    assert not (clone / ".venv").exists()


def test_nothing_is_installed_again_while_lock_and_project_stay(clone: Path) -> None:
    (clone / ".venv").mkdir()
    (clone / ".venv" / ".installed").touch()
    assert "pip install" not in make(clone, "--dry-run", "install").stdout
    later = (clone / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(clone / "requirements.lock", (later, later))
    assert "pip install" in make(clone, "--dry-run", "install").stdout


def test_the_index_of_torch_reaches_pip(clone: Path) -> None:
    shown = make(clone, "--dry-run", "install", "TORCH_INDEX=https://example.org/whl").stdout
    assert "--extra-index-url https://example.org/whl" in shown
    assert "--extra-index-url" not in make(clone, "--dry-run", "install").stdout


def test_the_lock_pins_every_dependency_exactly_and_no_cuda_wheel() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = [re.fullmatch(r"([a-z0-9-]+)==[^ ;]+( ; .*)?", line) for line in lines]
    assert all(pinned), [line for line, found in zip(lines, pinned, strict=True) if not found]
    names = {found[1] for found in pinned if found}
    assert not {name for name in names if name.startswith(("nvidia-", "cuda-", "triton"))}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = re.findall(r"--extra ([a-z]+)", (ROOT / "Makefile").read_text())
    assert {"fast", "web", "remote", "dev"} == set(installed)
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(name for extra in installed for name in extras[extra])]
    assert {re.split(r"[><=\[ ]", name)[0].lower().replace("_", "-") for name in wanted} <= names
    assert "torch==2.13.0" in lines


def test_ci_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)
