from __future__ import annotations

import subprocess
import sys
import time
from importlib.metadata import entry_points

import pytest

from data_pipeline.executors.kernels import prepare_numba
from data_pipeline.executors.local import Local
from foundation.progress import aside_s

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


def compile_a_kernel(number: int) -> int:
    """Runs in a worker: compile one that calls another, neither of which numba has in its cache."""
    import numba

    prepare_numba()
    inner = numba.njit(lambda x: x + 1)
    return int(numba.njit(lambda x: inner(x) * 2)(number))


def test_what_workers_compile_is_set_aside_once_though_they_do_so_at_the_same_time() -> None:
    with Local(2) as executor:
        before, started = aside_s(), time.monotonic()
        assert list(executor.map(compile_a_kernel, [1, 2])) == [4, 6]
        compiled, elapsed = aside_s() - before, time.monotonic() - started
        assert 0 < compiled < elapsed
        before = aside_s()
        assert list(executor.map(abs, [-1, 2])) == [1, 2]
        assert aside_s() == before
