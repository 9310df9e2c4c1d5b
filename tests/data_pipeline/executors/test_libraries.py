from __future__ import annotations

import subprocess
import sys
import time

import pytest

from data_pipeline.executors.libraries import prepare_libraries
from data_pipeline.executors.local import Local
from foundation.progress import aside_s

# what a process does first, before and after `prepare_libraries`; then the modules that this brought
KERNEL = """
import sys
import numba
import pyarrow as pa
import data_pipeline.pipeline  # nor may it bring them
from data_pipeline.executors.libraries import prepare_libraries
{prepare}
assert numba.njit(lambda x: x + 1)(1) == 2 and pa.array(["a"]).to_pylist() == ["a"]
print(*(name for name in ("awkward", "scipy.linalg", "pandas") if name in sys.modules))
"""
ASKED_FOR = """
import sys
import numba
import numpy as np
import pyarrow as pa
from data_pipeline.executors.libraries import prepare_libraries
prepare_libraries()
ones = np.ones(2)
assert numba.njit(lambda a, b: np.dot(a, b))(ones, ones) == 2.0
table = pa.table({"text": ["a", None]})
frame = table.to_pandas()
assert pa.Table.from_pandas(frame)["text"].to_pylist() == ["a", None]
assert pa.array(frame["text"]).to_pylist() == ["a", None]
print(*(name for name in ("scipy.linalg", "pandas") if name in sys.modules))
"""


def printed_by(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_the_first_kernel_and_the_first_array_bring_nothing() -> None:
    assert printed_by(KERNEL.format(prepare="")).endswith("scipy.linalg pandas")  # else there is nothing to keep out
    assert printed_by(KERNEL.format(prepare="prepare_libraries()")) == ""


@pytest.mark.slow
def test_what_is_asked_for_still_comes() -> None:
    assert printed_by(ASKED_FOR) == "scipy.linalg pandas"


def compile_a_kernel(number: int) -> int:
    """Runs in a worker: compile one that calls another, neither of which numba has in its cache."""
    import numba

    prepare_libraries()
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
