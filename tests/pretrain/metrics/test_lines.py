from __future__ import annotations

import itertools
import json
import math
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain.json_lines import json_line
from pretrain.metrics.lines import MetricsFile, missing_steps, read_metrics

FLOATS = st.floats(allow_nan=True, allow_infinity=True)


def strict(raw: str) -> Any:
    """Parse as a parser does that knows JSON and nothing more."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(raw, parse_constant=refuse)


def write(run_dir: Path, *steps: int) -> None:
    file = MetricsFile(run_dir)
    for step in steps:
        file.append({"step": step, "loss": float(step)})
    file.close()


def steps_in(path: Path) -> list[int]:
    return [strict(line)["step"] for line in path.read_text().splitlines()] if path.exists() else []


@given(st.dictionaries(st.text("abc", min_size=1), FLOATS | st.integers(-(2**53), 2**53) | st.booleans(), max_size=5))
def test_any_numbers_come_back_from_valid_json(fields: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = MetricsFile(Path(folder))
        file.append({"step": 1, **fields})
        file.close()
        strict((Path(folder) / "metrics.jsonl").read_text())
        (line,) = read_metrics(Path(folder) / "metrics.jsonl")
    assert line.keys() == {"step", *fields}
    for name, value in fields.items():
        assert line[name] == value or (math.isnan(value) and math.isnan(line[name]))
        assert type(line[name]) is type(value)


def test_how_what_is_not_finite_is_spelled() -> None:
    line = {"step": 1, "a": math.nan, "b": [math.inf, {"c": -math.inf}], "d": np.float32("nan"), "e": np.int64(3)}
    expected = {"step": 1, "a": "NaN", "b": ["Infinity", {"c": "-Infinity"}], "d": "NaN", "e": 3}
    assert strict(json_line(line).decode()) == expected


def test_resume_moves_later_lines_aside(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3, 4, 5)
    file = MetricsFile(tmp_path)
    assert file.drop_after(3) == 3
    file.append({"step": 4, "loss": -4.0})
    file.close()
    assert steps_in(tmp_path / "metrics.jsonl") == [1, 2, 3, 4]
    assert steps_in(tmp_path / "metrics.dropped.jsonl") == [4, 5]
    assert [line["loss"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1.0, 2.0, 3.0, -4.0]


def test_resume_tells_that_lines_are_missing(tmp_path: Path) -> None:
    assert MetricsFile(tmp_path / "new").drop_after(7) == 0
    write(tmp_path, 1, 2, 3)
    assert MetricsFile(tmp_path).drop_after(7) == 3
    assert steps_in(tmp_path / "metrics.jsonl") == [1, 2, 3]
    assert not (tmp_path / "metrics.dropped.jsonl").exists()


def test_going_back_within_a_run(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    for step in (1, 2, 3, 4):
        file.append({"step": step})
    file.drop_after(2)
    file.append({"step": 3})
    file.close()
    assert steps_in(tmp_path / "metrics.jsonl") == [1, 2, 3]
    assert steps_in(tmp_path / "metrics.dropped.jsonl") == [3, 4]


def test_an_attempt_without_a_checkpoint_leaves_no_doubles(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3)
    write(tmp_path, 1, 2)
    assert steps_in(tmp_path / "metrics.jsonl") == [1, 2]
    assert steps_in(tmp_path / "metrics.dropped.jsonl") == [1, 2, 3]


@pytest.mark.parametrize("torn", [b'{"step": 4, "lo', b'{"step": 4}', b"\x00\x00\x00", b"[4]\n"])
def test_a_torn_end_is_passed_over_and_kept_aside(tmp_path: Path, torn: bytes) -> None:
    write(tmp_path, 1, 2, 3)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + torn)
    assert [line["step"] for line in read_metrics(path)] == [1, 2, 3]
    file = MetricsFile(tmp_path)
    assert file.drop_after(10) == 3
    file.append({"step": 4})
    file.close()
    assert steps_in(path) == [1, 2, 3, 4]
    assert strict((tmp_path / "metrics.dropped.jsonl").read_text()) == {"torn": torn.decode()}


@given(st.lists(st.integers(1, 30), unique=True).map(sorted), st.integers(0, 31))
def test_no_line_is_lost_by_a_resume(steps: list[int], at: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *steps)
        last = MetricsFile(Path(folder)).drop_after(at)
        kept, dropped = (steps_in(Path(folder) / name) for name in ("metrics.jsonl", "metrics.dropped.jsonl"))
    assert kept == [step for step in steps if step <= at]
    assert dropped == [step for step in steps if step > at]
    assert last == max(kept, default=0)


@pytest.mark.slow
def test_a_killed_process_loses_no_line(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pretrain.metrics.lines import MetricsFile\n"
        "file = MetricsFile(Path(sys.argv[1]))\n"
        "for step in range(1, 10**9):\n"
        "    file.append({'step': step}); print(step, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    said = [int(child.stdout.readline()) for _ in range(500)]
    child.send_signal(signal.SIGKILL)
    said += [int(line) for line in child.stdout.read().split()]
    child.wait()
    assert steps_in(tmp_path / "metrics.jsonl")[: len(said)] == said


def test_lines_are_there_as_soon_as_they_are_appended(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    file.append({"step": 1})
    assert steps_in(tmp_path / "metrics.jsonl") == [1]
    file.sync()
    file.close()
    file.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ([1, 2, 3, 4, 5], []),
        ([], [(1, 5)]),
        ([3], [(1, 2), (4, 5)]),
        ([1, 2, 5, 6, 7], [(3, 4)]),
        ([5, 1, 3, 3], [(2, 2), (4, 4)]),
    ],
)
def test_what_was_cut_out_is_known(tmp_path: Path, there: list[int], missing: list[tuple[int, int]]) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step":{step}}}\n' for step in there))
    assert missing_steps(path, 1, 5) == missing
    assert missing_steps(path, 1, 0) == []


@pytest.mark.parametrize("names_kept", [True, False])
def test_a_machine_that_loses_power_keeps_what_was_synced(tmp_path: Path, disk: Any, names_kept: bool) -> None:
    run_dir, moments = tmp_path / "run", itertools.count()

    def found() -> list[int]:
        folder = disk.after_power_loss(run_dir, tmp_path / f"found{next(moments)}", names_kept)
        return steps_in(folder / "metrics.jsonl") + steps_in(folder / "metrics.dropped.jsonl")

    file = MetricsFile(run_dir)
    for step in (1, 2, 3, 4):
        file.append({"step": step})
    file.sync()
    assert found() == [1, 2, 3, 4]
    disk.then = lambda path: None if {1, 2, 3, 4} <= set(found()) else pytest.fail(f"lines lost at the flush of {path}")
    file.drop_after(2)
    file.append({"step": 3})
    file.sync()
    file.close()
    assert next(moments) > 4
    assert found() == [1, 2, 3, 3, 4]
