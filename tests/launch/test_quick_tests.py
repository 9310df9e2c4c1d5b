"""The quick tests before a training: green lets it begin, red ends it, slow ones and ranks' own settings stay out."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.quick_tests import is_first_process, require_green
from pretrain.debug.errors import NotCleared

pytestmark = pytest.mark.slow

TEST = """
import os, pytest
def test_quick():
    assert {value}
    assert "RANK" not in os.environ and "MASTER_PORT" not in os.environ
@pytest.mark.slow
def test_slow():
    assert False
"""


def test_green_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test_it.py").write_text(TEST.format(value=True))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("MASTER_PORT", "1")
    require_green(tmp_path)
    assert "1 passed" in capsys.readouterr().out


def test_red_stops_and_shows_which(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST.format(value=False))
    with pytest.raises(NotCleared, match=r"(?s)trainer\.preflight=short.*test_it\.py::test_quick"):
        require_green(tmp_path)


def test_one_process_of_all_runs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "GROUNDWORK_LAUNCHED", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    assert is_first_process()
    monkeypatch.setenv("RANK", "0")
    assert is_first_process()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert not is_first_process()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    monkeypatch.setenv("RANK", "1")
    assert not is_first_process()
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("GROUNDWORK_LAUNCHED", "/a/folder")
    assert not is_first_process()
