"""The cost of logging is measured on runs that log, and that of looking on runs that look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pretrain.metrics.lines import read_metrics


@pytest.fixture(scope="module")
def log_cost(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("log_cost")


@pytest.fixture
def folder(log_cost: ModuleType, tmp_path: Path) -> Path:
    log_cost.write_corpus(tmp_path, 1024)
    return tmp_path


def test_lines_are_timed_as_they_are_written(log_cost: ModuleType, folder: Path) -> None:
    held_ms, cpu_ms = log_cost.time_lines(folder, "a", ["logger=none"], steps=20)
    assert held_ms > 0 and cpu_ms > 0
    assert len(list(read_metrics(folder / "runs/a/metrics.jsonl"))) == 20


@pytest.mark.slow
def test_a_watched_run_looks_and_each_part_is_timed(log_cost: ModuleType, folder: Path) -> None:
    small = ["model.num_layers=1", "model.d_model=32", "model.num_heads=2"]
    for name, overrides in log_cost.WATCHES.items():
        times = log_cost.time_run(folder, name[6:], [*overrides, *small], steps=3)
        assert times.step_ms > times.looking_ms and times.cpu_ms > 0
        assert (times.looking_ms > 0) == (name != "watch=none")
        assert (folder / "runs" / name[6:] / "watch.jsonl").exists() == (name != "watch=none")
    run = log_cost.make_run(folder, "parts", 1, small)
    assert all(len(times) == 2 and min(times) > 0 for times in log_cost.time_measures(run, 2).values())
    run.loader.close()


def test_no_script_takes_the_name_of_a_module_that_torch_imports(log_cost: ModuleType) -> None:
    scripts = {path.stem for path in (log_cost.REPOSITORY / "benchmarks").glob("*.py")}
    assert not scripts & {"logging", "profile", "queue", "random", "types"}
