"""Memory of this process: a peak that counts anew sees what was held since, and no more."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from foundation import memory

LARGE = 200_000_000


def test_the_peak_is_that_since_it_was_reset() -> None:
    held = np.ones(LARGE, np.uint8)
    with_it = memory.peak_bytes()
    assert with_it >= memory.resident_bytes() * 0.99 >= LARGE * 0.9
    del held
    if not memory.reset_peak():
        pytest.skip("this system can't count a peak anew")
    without = memory.peak_bytes()
    assert without <= with_it - 0.9 * LARGE
    held = np.ones(LARGE // 2, np.uint8)
    del held
    assert memory.peak_bytes() >= without + 0.45 * LARGE  # it was held for a moment
    assert memory.resident_bytes() <= without + 0.1 * LARGE


def test_where_nothing_counts_anew_the_peak_is_that_of_the_whole_life(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_SELF", tmp_path / "no proc")
    assert not memory.reset_peak()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert memory.peak_bytes() == memory.resident_bytes() == most * 1024
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.peak_bytes() == most  # bytes there


def test_a_container_has_what_it_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limits = [tmp_path / name for name in ("unlimited", "missing", "small")]
    limits[0].write_text("max\n")
    monkeypatch.setattr(memory, "_CGROUPS", limits[:2])
    whole = memory.machine_bytes()
    assert whole > LARGE
    limits[2].write_text("123456789\n")
    monkeypatch.setattr(memory, "_CGROUPS", limits)
    assert memory.machine_bytes() == 123456789
