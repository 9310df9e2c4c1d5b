"""The quick tests before a training: green lets it begin, red ends it, slow ones and ranks' own settings stay out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from foundation.config.compose import CommandLine
from foundation.errors import ConfigError
from launch import trials
from launch.launchers import Inline
from launch.looks import look
from launch.quick_tests import is_first_process, require_green, share_done
from launch.train import CONF_DIR
from launch.trials import run_trials
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


@pytest.mark.parametrize("command", [run_trials, look])
@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("data.path=nowhere", r"^data\.path: nowhere is no folder"),
        ("optim.lr=-1", r"^optim\.lr: -1"),
        ("launcher=local launcher.processes=3", r"^trainer\.global_batch_size: .* is not a multiple of .* x 3 = "),
    ],
)
def test_what_takes_seconds_to_refuse_is_refused_before_them(
    command: Callable[[CommandLine], object],
    override: str,
    told: str,
    tiny: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RANK", "WORLD_SIZE", "GROUNDWORK_LAUNCHED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(trials, "require_green", lambda: pytest.fail("the tests have begun"))
    line = [*tiny, "trainer.preflight=full", f"runs_dir={tmp_path}", "run_name=x", *override.split()]
    with pytest.raises(ConfigError, match=told) as refused:
        command(CommandLine(line, CONF_DIR, "train", tmp_path))
    assert "trial" not in str(refused.value)
    assert not (tmp_path / "x").exists()


def test_a_run_that_goes_on_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RANK", "GROUNDWORK_LAUNCHED"):
        monkeypatch.delenv(name, raising=False)
    tree = {"trainer": {"preflight": "full"}, "runs_dir": str(tmp_path), "run_name": "x"}

    def begins(**more: str) -> bool:
        return trials.begins_with_tests(trials.Trial(tree | more, Inline(), []))

    assert begins() and begins(resume="auto") and begins(resume="never")
    assert not begins(resume="runs/y/checkpoints/step_00000100")
    (tmp_path / "x" / "checkpoints").mkdir(parents=True)
    assert not begins() and begins(resume="never")


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
