"""Ranks that are killed, stopped, hang, fail again and again; launchers that die; two runs on one folder."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from foundation.stops import STOPS
from pretrain.attempts import read_attempts
from pretrain.metrics.lines import MACHINE_FIELDS, read_metrics

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at through /proc"),
]
HERE = Path(__file__).parent
TRAIN = HERE.parents[1] / "launch/train.py"
STEPS = "trainer.max_steps=8"
SLOW_DISK = """
import os, time
real = os.fsync
def fsync(descriptor):
    if os.path.exists("slow"):
        open("waited", "w").close()
        time.sleep(60)
    real(descriptor)
os.fsync = fsync
"""


@pytest.fixture(scope="module")
def processes(load_module: Callable[[Path], Any]) -> Any:
    return load_module(HERE / "processes.py")


@pytest.fixture
def faulty(terminal: Any, tiny: list[str]) -> Callable[..., list[str]]:
    """Arguments of a run in which something goes wrong."""
    terminal.environment["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])

    def line(what: str, *more: str) -> list[str]:
        fault = ["extra_targets=[faults.]", "profile._target_=faults.Fault", f"profile.what=[{what}]"]
        return [*tiny, "run_name=x", "checkpoint.every_steps=2", *fault, *more]

    return line


Faulty = Callable[..., list[str]]
FINDS_IT = f"import sys; sys.path.append({str(HERE)!r})"  # in a forked process, which read PYTHONPATH long ago


def lines(run_dir: Path) -> list[dict[str, Any]]:
    """The lines without what a clock says."""
    return [
        {key: line[key] for key in line if key not in MACHINE_FIELDS}
        for line in read_metrics(run_dir / "metrics.jsonl")
    ]


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    give_up_s = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up_s, "it never came to that"
        time.sleep(0.05)


def test_a_rank_that_hangs_is_killed_and_all_go_on_with_the_same_bits(
    terminal: Any, typed: Any, faulty: Faulty
) -> None:
    line = faulty("stop,hold_lock", "profile.at_steps=[3,5]", STEPS, "trainer.hang_timeout_s=8")
    terminal.environment["TORCHELASTIC_MAX_RESTARTS"] = "1"
    started = typed.start(TRAIN, line, terminal.folder, terminal.environment, ranks=2, before=FINDS_IT)
    until((terminal.folder / "struck3").exists)
    pid = int((terminal.folder / "struck3").read_text())
    until(lambda: "State:\tT" in Path(f"/proc/{pid}/status").read_text())
    time.sleep(1.0)
    os.kill(pid, signal.SIGCONT)  # stopped for a while it goes on
    code, text = started.wait()
    assert code == -signal.SIGKILL, text
    assert "watchdog: rank 1 (process " in text
    assert "in _hold_lock" in text
    run_dir, ended = terminal.folder / "runs/x", terminal.status("x")
    assert (ended["status"], ended["step"]) == ("failed", 5)
    assert ended["reason"].startswith(f"rank 1 (process {pid}) on ")
    assert " gave no sign for " in ended["reason"]
    assert "in _hold_lock" in (run_dir / "hang.txt").read_text()
    terminal.environment["TORCHELASTIC_RESTART_COUNT"] = "1"
    # the save of step 4 is written beside the steps, and stands still with the lock where it isn't done by then
    assert re.search(r"from step [24] of 8", terminal.type(*line, ranks=2, before=FINDS_IT))
    assert [attempt["status"] for attempt in read_attempts(run_dir)] == ["failed", "finished"]
    terminal.type(*line, "run_name=whole", ranks=2, before=FINDS_IT)
    assert lines(run_dir) == lines(terminal.folder / "runs/whole")


def test_a_crash_at_one_step_is_given_up_after_three_tries(terminal: Any, faulty: Faulty) -> None:
    line = faulty("fail", "profile.at_steps=[5]", "profile.rank=0", "profile.always=true", STEPS)
    terminal.environment["CANARY_TOKEN"] = "canary of the environment"
    refused = terminal.type(*line, "data.path=https://me:canary@host/x", before=FINDS_IT, code=2)
    assert "canary" not in refused
    for restarts, code in enumerate([1, 1, 1, 4, 4]):
        terminal.environment["TORCHELASTIC_RESTART_COUNT"] = str(restarts)
        text = terminal.type(*line, before=FINDS_IT, code=code)
        assert ("error: runs/x: a crash loop: 3 tries in a row failed after step 5:" in text) is (restarts == 3)
    ended = terminal.status("x")
    assert (ended["status"], ended["step"], ended["crash_loop"]) == ("failed", 5, True)
    assert (
        "ConnectionError: https://host/x is away; sent: *** and ***\nstep 6 read the samples 40 to 47 "
        in ended["reason"]
    )
    terminal.environment["TORCHELASTIC_RESTART_COUNT"] = "0"
    assert "from step 4 of 8" in terminal.type(*line, before=FINDS_IT, code=1)  # typed by hand, it tries
    assert "crash_loop" not in terminal.status("x")
    for path in (terminal.folder / "runs").rglob("*"):
        assert path.is_dir() or b"canary" not in path.read_bytes(), path


def test_of_two_runs_in_one_folder_one_waits_and_names_the_other(terminal: Any, typed: Any, faulty: Faulty) -> None:
    patient = f"{FINDS_IT}; import pretrain.run_folder as it; it.LOCK_WAIT_S = 120"
    line = faulty("wait", "profile.at_steps=[3]", "profile.rank=0", STEPS)
    both = [typed.start(TRAIN, line, terminal.folder, terminal.environment, before=patient) for _ in range(2)]
    until(lambda: any("waiting up to" in each.output.read_text() for each in both if each.output.exists()))
    until((terminal.folder / "struck3").exists)
    owner = (terminal.folder / "struck3").read_text()
    (terminal.folder / "go").touch()
    texts = {str(each.ranks[0].pid): each.wait()[1] for each in both}
    assert "finished at step 8: all steps" in texts.pop(owner)
    (other,) = texts.values()
    waits = (
        rf"waiting up to 120 s for process {owner} on {re.escape(socket.gethostname())}, since 20.*, launch/train.py"
    )
    assert re.search(waits, other)
    assert "finished at step 8 already" in other
    assert [line["step"] for line in lines(terminal.folder / "runs/x")] == list(range(1, 9))
    assert not (terminal.folder / "runs/x/metrics.dropped.jsonl").exists()


@pytest.fixture
def launched(terminal: Any, typed: Any) -> Iterator[Callable[..., BaseProcess]]:
    """Type a line whose launcher starts ranks in earnest; nothing of it is left after the test."""
    started: list[BaseProcess] = []

    def start(*line: str) -> BaseProcess:
        begun = typed.start(TRAIN, line, terminal.folder, terminal.environment, before=FINDS_IT)
        started.extend(begun.ranks)
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.join()


Launched = Callable[..., BaseProcess]


def test_launcher_local_restarts_opens_no_port_and_leaves_nothing_behind(
    terminal: Any, processes: Any, faulty: Faulty, launched: Launched
) -> None:
    line = faulty("kill,wait", "profile.at_steps=[3,5]", STEPS, "logger=default")
    line = [text for text in line if text != "logger=console"]
    run, run_dir = launched(*line, "launcher=local"), terminal.folder / "runs/x"
    until((terminal.folder / "struck5").exists)  # a rank was killed, all were started again
    assert [attempt["status"] for attempt in read_attempts(run_dir)] == ["failed", None]
    all_of_it = processes.below(run.pid)
    commands = [processes.command(pid) for pid in all_of_it]
    for part, number in {"launch/train.py": 3, "-m pretrain.watchdog": 1, "-m pretrain.metrics.wandb_child": 1}.items():
        assert sum(part in command for command in commands) == number, commands
    sockets = processes.listening([run.pid, *all_of_it])
    assert any(sockets.values())  # gloo's, on loopback
    assert not processes.beyond_loopback(set().union(*sockets.values()))

    (launcher,) = [pid for pid in all_of_it if "-m launch.local" in processes.command(pid)]
    os.kill(launcher, signal.SIGKILL)
    (terminal.folder / "go").touch()
    run.join(60)
    until(lambda: not any(processes.command(pid) for pid in all_of_it))
    ended = terminal.status("x")
    assert ended["reason"].startswith("stopped by SIGTERM; the state is saved")
    assert f"from step {ended['step']} of 8" in terminal.type(*line, ranks=2, before=FINDS_IT)


def test_a_save_that_torchrun_kills_leaves_the_checkpoint_before_it(
    terminal: Any, processes: Any, faulty: Faulty, launched: Launched
) -> None:
    custom = terminal.folder / "custom"
    custom.mkdir()
    (custom / "sitecustomize.py").write_text(SLOW_DISK)
    terminal.environment["PYTHONPATH"] += os.pathsep + str(custom)
    (temporary := terminal.folder / "tmp").mkdir()
    terminal.environment["TMPDIR"] = str(temporary)
    # saves that hold the step: step 4's is whole before the disk becomes slow at step 5
    line = faulty("wait", "profile.at_steps=[5]", STEPS, "checkpoint.asynchronous=false")
    run = launched(*line, "launcher=torchrun", "launcher.shutdown_timeout_s=5")
    until((terminal.folder / "struck5").exists)
    all_of_it = processes.below(run.pid)
    (torchrun,) = [pid for pid in all_of_it if "launch.elastic" in processes.command(pid)]
    sockets = processes.listening([run.pid, *all_of_it])
    assert not processes.beyond_loopback(set().union(*(found for pid, found in sockets.items() if pid != torchrun)))
    (terminal.folder / "slow").touch()
    (watchdog,) = [pid for pid in all_of_it if "-m pretrain.watchdog" in processes.command(pid)]
    until(lambda: processes.ignored(watchdog) >= set(STOPS))
    for pid in all_of_it:
        os.kill(pid, signal.SIGUSR1)  # as Slurm does, which knows every process of the job
    (terminal.folder / "go").touch()
    run.join(60)
    assert run.exitcode
    until(lambda: not any(processes.command(pid) for pid in all_of_it))
    assert (terminal.folder / "waited").exists()
    assert not list(temporary.glob("groundwork-*"))  # the watchdog saw all of it, and has removed its page
    (terminal.folder / "slow").unlink()
    checkpoints = sorted(path.name for path in (terminal.folder / "runs/x/checkpoints").glob("step_*"))
    assert checkpoints == ["step_00000002", "step_00000004"]
    assert "from step 4 of 8" in terminal.type(*line, ranks=2, before=FINDS_IT)
