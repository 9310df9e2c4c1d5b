"""SIGKILL in every stage, then the same command: the same bytes as without. Real processes, two workers each."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.pipeline import check_config, run
from foundation.files import folder_lock

pytestmark = pytest.mark.slow

STAGES = ["clean", "exact", "near", "split", "decontaminate", "tokenizer", "shards"]
AT_COMMIT = ("near", "tokenizer")  # the others are killed as they begin
SCRIPT = """
import json, os, signal, sys
from data_pipeline.pipeline import check_config, run
from foundation.errors import GroundworkError

def kill_at_removal(event, arguments):
    if event == "os.remove" and str(arguments[0]).startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.addaudithook(kill_at_removal)
    try:
        result = run(**check_config(json.loads(sys.argv[1])))
    except GroundworkError as error:
        sys.exit(f"error: {error}")
    print(json.dumps([stage.name for stage in result.stages if stage.redone]))
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "pipe.py"
    path.write_text(SCRIPT)
    return path


def start(script: Path, tree: dict[str, Any], *more: str) -> subprocess.Popen[str]:
    """Start a run; more: a folder, at the first removal of a file of which the process kills itself."""
    command = [sys.executable, str(script), json.dumps(tree), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: subprocess.Popen[str]) -> list[str]:
    """Wait for a run to end well; return the stages it did."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return list(json.loads(out))


def kill_when(process: subprocess.Popen[str], condition: Callable[[], bool]) -> bool:
    """SIGKILL the run and its workers at the moment the condition holds; return False when it ended before."""
    deadline = time.monotonic() + 120
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return True


def test_a_kill_in_any_stage_changes_no_byte(
    made: Any,
    script: Path,
    config: Callable[..., Any],
    output_hashes: Callable[[Path], dict[str, str]],
    finished: Path,
    tmp_path: Path,
) -> None:
    tree = config(made.folder, tmp_path / "out", executor__workers=2)
    work = tmp_path / "out" / "work"
    kills = 0
    for stage in STAGES:
        mark = work / stage / "stage.json" if stage in AT_COMMIT else work / stage
        kills += kill_when(start(script, tree), mark.exists)
    assert kills >= 6  # the last moments of a run may pass before they are seen
    redone = finish(start(script, tree))
    assert set(redone) <= {"tokenizer", "shards"}  # what was committed before a kill was not done again
    assert output_hashes(tmp_path / "out") == output_hashes(finished)
    assert not [path for path in (tmp_path / "out").rglob("*") if ".tmp" in path.name]
    assert not [stage.name for stage in run(**check_config(tree)).stages if stage.redone]


def test_a_kill_at_a_random_moment_changes_no_byte(
    made: Any,
    script: Path,
    config: Callable[..., Any],
    output_hashes: Callable[[Path], dict[str, str]],
    finished: Path,
    tmp_path: Path,
) -> None:
    rng = random.Random()  # another moment in every run
    tree = config(made.folder, tmp_path / "out", executor__workers=2)
    end = time.monotonic() + 1.0 + 2.0 * rng.random()
    kill_when(start(script, tree), lambda: time.monotonic() > end)
    finish(start(script, tree))
    assert output_hashes(tmp_path / "out") == output_hashes(finished)


def test_a_kill_in_the_middle_of_a_stage_costs_only_the_parts_in_work(
    made: Any, script: Path, config: Callable[..., Any], tmp_path: Path
) -> None:
    tree = config(made.folder, tmp_path / "out", executor__workers=2)
    clean = tmp_path / "out" / "work" / "clean"

    def parts() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in clean.glob("?????-?????.json")}

    process = start(script, tree)
    assert kill_when(process, lambda: len(parts()) >= 5)
    assert not (clean / "stage.json").exists()
    before = parts()
    finish(start(script, tree))
    after = parts()
    assert {path: after[path] for path in before} == before
    assert len(after) > len(before)


def test_a_kill_before_what_is_left_over_is_removed_leaves_nothing_for_ever(
    inputs: Path,
    out: Path,
    script: Path,
    config: Callable[..., Any],
    output_hashes: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    (inputs / "web" / "c.jsonl.zst").unlink()  # it had an unreadable line
    process = start(script, config(inputs, out), str(out / "quarantine"))
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    finish(start(script, config(inputs, out)))
    finish(start(script, config(inputs, tmp_path / "fresh")))
    assert output_hashes(out) == output_hashes(tmp_path / "fresh")


def test_a_second_run_waits_and_then_names_the_owner(
    made: Any, script: Path, config: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with folder_lock(out):
        started = time.monotonic()
        process = start(script, config(made.folder, out))
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - started >= 10
    assert process.returncode == 1
    assert f"process {os.getpid()} on " in err and "Traceback" not in err
    assert not (out / "work").exists()
