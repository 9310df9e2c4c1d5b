"""What each launcher starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.cores import usable_cores
from foundation.errors import ConfigError
from launch.launchers import Inline, Local, TorchRun


def test_a_process_group_of_the_size_asked_for() -> None:
    torchrun = TorchRun(processes=3, max_restarts=5, shutdown_timeout_s=90).prefix()
    assert {"--standalone", "--max-restarts=5", "--shutdown-timeout=90", "--nproc_per_node=3"} <= set(torchrun)
    assert "--signals-to-handle=SIGTERM,SIGINT,SIGUSR1,SIGHUP,SIGQUIT" in torchrun
    assert Local(processes=3, max_restarts=5).prefix()[-2:] == ["--processes=3", "--max-restarts=5"]
    assert Inline().prefix() == [sys.executable]


@pytest.mark.skipif(sys.platform != "linux", reason="cores are counted otherwise elsewhere")
def test_ranks_share_the_cores_unless_the_user_has_shared_them_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assert TorchRun(processes=3).prefix()[:3] == ["env", "OMP_NUM_THREADS=5", sys.executable]
    assert TorchRun(processes=99).prefix()[1] == "OMP_NUM_THREADS=1"
    assert TorchRun(processes=1).prefix()[0] == sys.executable
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert TorchRun(processes=3).prefix()[0] == sys.executable


@pytest.mark.slow
def test_torchrun_has_nothing_to_say_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    script = tmp_path / "script.py"
    script.write_text("import os; os.write(1, f\"threads {os.environ['OMP_NUM_THREADS']}\\n\".encode())")
    ended = subprocess.run([*TorchRun(processes=2).prefix(), str(script)], capture_output=True, text=True, check=True)
    share = max(1, usable_cores() // 2)
    assert ended.stdout.split("\n") == [f"threads {share}"] * 2 + [""]
    assert "OMP_NUM_THREADS" not in ended.stderr


def test_no_processes_are_refused_with_what_to_choose() -> None:
    for launcher in (Local, TorchRun):
        with pytest.raises(ConfigError, match=r"processes: 0 is not allowed; give 1 or more; launcher=inline"):
            launcher(processes=0)
        with pytest.raises(ConfigError, match=r"max_restarts: -1 is not allowed; give 0, for none, or more"):
            launcher(processes=1, max_restarts=-1)
    with pytest.raises(ConfigError, match=r"shutdown_timeout_s: 0 is not allowed"):
        TorchRun(processes=1, shutdown_timeout_s=0)
