from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

KERNEL = """
import sys
import numba
{before}
print(numba.njit(lambda x: x + 1)(1), "awkward" in sys.modules)
"""
CALL = "from data_pipeline.executors.kernels import prepare_numba; prepare_numba()"


@pytest.mark.slow
@pytest.mark.skipif(not entry_points(group="numba_extensions"), reason="nothing that extends numba is installed")
@pytest.mark.parametrize(("before", "printed"), [("", "2 True"), (CALL, "2 False")])
def test_a_kernel_brings_no_extension(before: str, printed: str) -> None:
    command = [sys.executable, "-c", KERNEL.format(before=before)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == printed
