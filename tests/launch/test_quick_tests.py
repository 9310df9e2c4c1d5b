"""The quick tests before a training: green lets it begin, red ends it, slow ones and ranks' own settings stay out."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from launch.quick_tests import is_first_process, require_green, share_done
from pretrain.debug.errors import NotCleared
from pretrain.debug.stops import LookStopped

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


def test_a_stop_ends_them_and_all_that_they_have_started(tmp_path: Path) -> None:
    started = tmp_path / "started"
    (tmp_path / "test_it.py").write_text(
        "import os, signal, subprocess, time\n"
        "def test_it():\n"
        "    child = subprocess.Popen(['sleep', '60'])\n"
        f"    open({str(started)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"    os.kill({os.getpid()}, signal.SIGTERM)\n"
        "    time.sleep(60)\n"
    )
    with pytest.raises(LookStopped, match="stopped by SIGTERM before the first step"):
        require_green(tmp_path)
    deadline = time.monotonic() + 30  # a grandchild is nobody's to wait for: its end follows its signal, at some time
    for pid in started.read_text().split():
        while is_running(int(pid)):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no dead one that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_it_is_told_how_far_they_are(tmp_path: Path) -> None:
    with (tmp_path / "output").open("w+") as output:
        assert share_done(output) == ""
        output.write("tests/test_a.py ....   [  9%]\ntests/test_b.py ..   [ 45%]\ntests/test_c.py .")
        output.flush()
        assert share_done(output) == "45 % done"


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
