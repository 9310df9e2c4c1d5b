"""launcher=local's own program: ranks that are small scripts, so that each start takes a tenth of a second."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from launch.launchers import Local
from tests.launch.processes import command

pytestmark = pytest.mark.slow
HEAD = """
import os, signal, sys, time
from pathlib import Path
rank, restarts = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
"""


@pytest.fixture
def start(tmp_path: Path, one_thread: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Start two ranks of a script in an empty folder."""

    def begin(script: str, processes: int = 2, max_restarts: int = 0) -> subprocess.Popen[str]:
        path = tmp_path / "script.py"
        path.write_text(HEAD + script)
        line = [*Local(processes, max_restarts).prefix(), str(path), "an argument", "--a=flag"]
        pipe, environment = subprocess.PIPE, one_thread | {"TMPDIR": str(tmp_path)}
        return subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path, env=environment)

    return begin


Start = Callable[..., subprocess.Popen[str]]


def ended(group: subprocess.Popen[str], code: int) -> tuple[list[str], str]:
    """What the ranks said, in an order of its own, and what the launcher did."""
    said, told = group.communicate(timeout=60)
    assert group.returncode == code, told
    return sorted(said.splitlines()), told


def until(holds: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < give_up_s
        time.sleep(0.02)


def runs(pid: int) -> bool:
    return bool(command(pid))


def test_each_rank_knows_its_place_and_where_to_meet(start: Start, tmp_path: Path) -> None:
    script = """
names = ("WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "OMP_NUM_THREADS", "TORCHELASTIC_MAX_RESTARTS")
store = Path(os.environ["GROUNDWORK_STORE"])
say(rank, sys.argv[1:], *(os.environ[name] for name in names), oct(store.parent.stat().st_mode)[-3:])
"""
    said, told = ended(start(script, max_restarts=3), 0)
    assert said == [f"{rank} ['an argument', '--a=flag'] 2 {rank} 2 0 1 3 700" for rank in (0, 1)]
    assert told == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["script.py"]  # where they met is gone


def test_all_are_started_again_when_one_fails(start: Start) -> None:
    script = """
say(rank, restarts)
if restarts < 2 and rank == 1:
    os.kill(os.getpid(), signal.SIGKILL) if restarts else sys.exit(7)
if restarts < 2:
    time.sleep(60)
"""
    said, told = ended(start(script, max_restarts=2), 0)
    assert said == [f"{rank} {restarts}" for rank in (0, 1) for restarts in range(3)]
    assert "rank 1 (process " in told
    assert "was killed by SIGKILL" in told
    assert "restart 2 of 2" in told


def test_the_first_failure_is_the_exit_code_when_no_restart_is_left(start: Start) -> None:
    script = "say(rank); sys.exit(7) if rank else time.sleep(60)"
    said, _ = ended(start(script, max_restarts=1), 7)
    assert said == ["0", "0", "1", "1"]


@pytest.mark.parametrize("code", [2, 3, 4])
def test_an_end_that_was_meant_is_no_reason_to_start_again(start: Start, code: int) -> None:
    refuse = "from pretrain.torchrun import refuse_restarts; refuse_restarts(2)" if code == 2 else ""
    said, _ = ended(start(f"say(rank)\n{refuse}\nsys.exit({code})", max_restarts=3), code)
    assert said == ["0", "1"]


def test_what_all_ranks_say_is_said_once(start: Start) -> None:
    script = """
from pretrain.torchrun import speaks
for message in ("one", "two"):
    if speaks(message):
        say(message)
say("torch" in sys.modules)
"""
    said, _ = ended(start(script), 0)
    assert said == ["False", "False", "one", "two"]


@pytest.mark.parametrize(
    ("sent", "heard"), [("SIGTERM", "SIGTERM"), ("SIGUSR1", "SIGUSR1"), ("SIGINT", "SIGTERM"), ("SIGHUP", "SIGTERM")]
)
def test_a_stop_reaches_every_rank_and_is_not_restarted(start: Start, tmp_path: Path, sent: str, heard: str) -> None:
    script = """
def hear(number, frame):
    say(rank, signal.Signals(number).name)
    sys.exit(rank)
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, hear)
Path(f"ready{rank}").touch()
time.sleep(60)
"""
    group = start(script, max_restarts=3)
    until(lambda: all((tmp_path / f"ready{rank}").exists() for rank in (0, 1)))
    group.send_signal(signal.Signals[sent])
    said, told = ended(group, 1)
    assert said == [f"{rank} {heard}" for rank in (0, 1)]
    assert "again" not in told


def test_ranks_that_are_stopped_before_they_listen_were_not_killed(start: Start, tmp_path: Path) -> None:
    group = start('Path(f"ready{rank}").touch(); time.sleep(60)', max_restarts=3)
    until(lambda: all((tmp_path / f"ready{rank}").exists() for rank in (0, 1)))
    group.send_signal(signal.SIGTERM)
    assert ended(group, 128 + signal.SIGTERM) == ([], "")


@pytest.mark.skipif(sys.platform != "linux", reason="a parent's death is told on Linux alone")
def test_ranks_end_with_a_launcher_that_was_killed(start: Start, tmp_path: Path) -> None:
    script = """
from launch.train import end_with_launcher
end_with_launcher()
Path(f"pid{rank}").write_text(str(os.getpid()))
time.sleep(60)
"""
    group = start(script)
    files = [tmp_path / f"pid{rank}" for rank in (0, 1)]
    until(lambda: all(path.exists() and path.read_text() for path in files))
    group.kill()
    group.communicate(timeout=60)
    until(lambda: not any(runs(int(path.read_text())) for path in files))


def test_a_rank_that_ignores_the_end_of_the_others_is_killed(start: Start, tmp_path: Path, one_thread: None) -> None:
    script = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path(f"pid{rank}").write_text(str(os.getpid()))
while rank == 1 and not Path("pid0").exists():
    time.sleep(0.01)
sys.exit(5) if rank else time.sleep(60)
"""
    launcher = f"""
import sys, launch.local as it
it.GRACE_S = 0.2
sys.argv = ["local", "--processes=2", {str(tmp_path / "script.py")!r}]
sys.exit(it.main())
"""
    (tmp_path / "script.py").write_text(HEAD + script)
    ended_ = subprocess.run([sys.executable, "-c", launcher], cwd=tmp_path, timeout=60)
    assert ended_.returncode == 5
    assert not runs(int((tmp_path / "pid0").read_text()))


def test_of_ranks_that_end_within_one_look_the_killed_one_is_named(tmp_path: Path) -> None:
    script = """
if rank:
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(2)
"""
    launcher = f"""
import sys, launch.local as it
it.LOOK_S = 3.0  # both have ended by then
sys.argv = ["local", "--processes=2", {str(tmp_path / "script.py")!r}]
sys.exit(it.main())
"""
    (tmp_path / "script.py").write_text(HEAD + script)
    line = [sys.executable, "-c", launcher]
    ended_ = subprocess.run(line, cwd=tmp_path, timeout=60, capture_output=True, text=True)
    assert ended_.returncode == 128 + signal.SIGKILL
    assert "rank 1 (process " in ended_.stderr
