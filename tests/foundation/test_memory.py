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


def limits(folder: Path, groups: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the memory of a process in these groups, where these files of limits are."""
    (folder / "self").mkdir()
    (folder / "self" / "cgroup").write_text(groups)
    for name, limit in files.items():
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / name).write_text(f"{limit}\n")
    monkeypatch.setattr(memory, "_SELF", folder / "self")
    monkeypatch.setattr(memory, "_CGROUPS", folder / "tree")
    return memory.machine_bytes()


JOB = "/slurm/job_7/step_0"
V1 = f"9:name=systemd:/\n4:cpu,memory:{JOB}\n0::/\n"
CASES = {
    "at the top": ("0::/\n", {"memory.max": "1001"}, 1001),
    "of its own": (f"0::{JOB}\n", {"memory.max": "max", "slurm/job_7/step_0/memory.max": "1002"}, 1002),
    "of one around": (f"0::{JOB}\n", {"slurm/job_7/step_0/memory.max": "max", "slurm/memory.max": "1003"}, 1003),
    "the least": (f"0::{JOB}\n", {"slurm/job_7/step_0/memory.max": "1005", "slurm/memory.max": "1004"}, 1004),
    "not a neighbour's": (f"0::{JOB}\n", {"slurm/job_8/memory.max": "5", "memory.max": "1006"}, 1006),
    "of the host's path": ("0::/../../docker/ab\n", {"memory.max": "1007"}, 1007),
    "beside version 1": (f"0::{JOB}\n", {"unified/slurm/memory.max": "1008"}, 1008),
    "version 1": (V1, {"memory/slurm/job_7/memory.limit_in_bytes": "1009"}, 1009),
    "version 1 at the top": (V1, {"memory/memory.limit_in_bytes": "1010", "slurm/memory.max": "5"}, 1010),
}


@pytest.mark.parametrize("case", CASES)
def test_a_process_has_what_the_groups_around_it_leave(
    case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    groups, files, truth = CASES[case]
    assert limits(tmp_path, groups, files, monkeypatch) == truth


def test_without_a_limit_it_has_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = limits(tmp_path, f"0::{JOB}\n", {"memory.max": "max", "slurm/memory.max": str(1 << 62)}, monkeypatch)
    assert whole > LARGE
    monkeypatch.setattr(memory, "_SELF", tmp_path / "no proc")
    assert memory.machine_bytes() == whole
