from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from foundation.errors import SettingError
from pretrain.mesh import Mesh
from pretrain.metrics.profiler import NoProfiler, TorchProfiler


def a_mesh(rank: int = 0) -> Mesh:
    return Mesh(rank=rank, world_size=2, local_rank=rank, device=torch.device("cpu"))


def steps(profiler: TorchProfiler | NoProfiler, count: int) -> None:
    for step in range(1, count + 1):
        torch.ones(8, 8) @ torch.ones(8, 8)
        profiler.step(step)


@pytest.mark.slow
def test_the_steps_asked_for_are_recorded_and_no_others(tmp_path: Path) -> None:
    profiler = TorchProfiler(a_mesh(), tmp_path, wait_steps=2, warmup_steps=1, active_steps=3)
    steps(profiler, 20)
    profiler.close()
    trace = json.loads(gzip.decompress((tmp_path / "profile" / "trace.json.gz").read_bytes()))
    names = [event.get("name") for event in trace["traceEvents"]]
    assert names.count("aten::mm") == 3
    assert "aten::mm" in (tmp_path / "profile" / "operators.txt").read_text()


@pytest.mark.slow
def test_a_run_that_ends_while_it_records_leaves_what_there_is(tmp_path: Path) -> None:
    profiler = TorchProfiler(a_mesh(), tmp_path, wait_steps=1, warmup_steps=1, active_steps=50)
    steps(profiler, 6)
    profiler.close()
    profiler.close()
    assert (tmp_path / "profile" / "trace.json.gz").is_file()


@pytest.mark.parametrize("count", [0, 3])
def test_a_run_that_ends_before_leaves_nothing(tmp_path: Path, count: int) -> None:
    profiler = TorchProfiler(a_mesh(), tmp_path, wait_steps=50)
    steps(profiler, count)
    profiler.close()
    assert list(tmp_path.iterdir()) == []


def test_other_ranks_record_nothing(tmp_path: Path) -> None:
    profiler = TorchProfiler(a_mesh(rank=1), tmp_path, wait_steps=0, warmup_steps=1, active_steps=1)
    steps(profiler, 5)
    profiler.close()
    assert list(tmp_path.iterdir()) == []


def test_none_does_nothing() -> None:
    profiler = NoProfiler()
    steps(profiler, 3)
    profiler.close()


@pytest.mark.parametrize(("name", "value"), [("wait_steps", -1), ("warmup_steps", 0), ("active_steps", 0)])
def test_counts_that_cannot_be_name_the_key(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(SettingError, match=f"^{name}: {value} is not allowed; give "):
        TorchProfiler(a_mesh(), tmp_path, **{name: value})
