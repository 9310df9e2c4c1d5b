"""What each launcher starts."""

from __future__ import annotations

import sys

import pytest

from foundation.errors import ConfigError
from launch.launchers import Inline, TorchRun


def test_a_process_group_of_the_size_asked_for() -> None:
    assert TorchRun(processes=3).prefix()[-2:] == ["--standalone", "--nproc_per_node=3"]
    assert Inline().prefix() == [sys.executable]


def test_no_processes_are_refused_with_what_to_choose() -> None:
    with pytest.raises(ConfigError, match=r"processes: 0 is not allowed; give 1 or more; launcher=inline"):
        TorchRun(processes=0)
