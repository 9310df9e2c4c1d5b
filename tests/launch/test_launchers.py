"""What each launcher starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.errors import ConfigError
from launch.launchers import Inline, TorchRun


def test_a_process_group_of_the_size_asked_for(tmp_path: Path) -> None:
    command = TorchRun(processes=3).command(tmp_path, ["extra_targets=[mine.]"])
    assert "--nproc_per_node=3" in command
    assert command[-3:] == [f"--config-path={tmp_path}", "--config-name=config", "extra_targets=[mine.]"]
    assert Inline().command(tmp_path, [])[1].endswith("launch/train.py")


def test_no_processes_are_refused_with_what_to_choose() -> None:
    with pytest.raises(ConfigError, match=r"launcher\.processes: 0 is not at least 1; launcher=inline"):
        TorchRun(processes=0)
