"""A start is timed until what it is waited for shows, and a command that fails is no measurement."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def start_up(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("start_up")


def test_the_time_ends_when_the_text_shows(start_up: ModuleType, tmp_path: Path) -> None:
    code = "import time; time.sleep(0.2); print('step', flush=True); time.sleep(2)"
    until = (tmp_path / "log", "step")
    shown = start_up.seconds(start_up.Timed("shown", [sys.executable, "-c", code], until, tmp_path), tmp_path)
    whole = start_up.seconds(start_up.Timed("whole", [sys.executable, "-c", code], None, tmp_path), tmp_path)
    assert 0.2 < shown < whole - 1


@pytest.mark.parametrize(("code", "shows"), [("import sys; sys.exit(3)", None), ("print('other')", "step")])
def test_a_failure_is_no_measurement(start_up: ModuleType, tmp_path: Path, code: str, shows: str | None) -> None:
    until = (tmp_path / "log", shows) if shows else None
    with pytest.raises(SystemExit, match="ended with"):
        start_up.seconds(start_up.Timed("x", [sys.executable, "-c", code], until, tmp_path), tmp_path)


def test_the_peer_is_left_out_only_without_a_clone(start_up: ModuleType, tmp_path: Path) -> None:
    without, with_it = start_up.pairs(tmp_path, None), start_up.pairs(tmp_path, tmp_path)
    assert len(with_it) == len(without) + 1
