"""SIGKILL in every stage, then the same command: the same bytes as without. Real processes, two workers each."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.shards.verify import verify
from foundation.files import folder_lock
from tests.data_pipeline.all_stages import ALL
from tests.data_pipeline.killed import finish, kill_when, start, write_script

pytestmark = pytest.mark.slow

AT_COMMIT = ("near", "tokenizer")  # the others are killed as they begin


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_script(tmp_path_factory.mktemp("script"))


@pytest.fixture
def tree(made: Any, config: Callable[..., Any], tmp_path: Path) -> dict[str, Any]:
    """The config of a run that is killed."""
    tree: dict[str, Any] = config(made.folder, tmp_path / "out", executor__workers=2)
    return tree


@pytest.fixture
def ends_as_undisturbed(
    script: Path, tree: dict[str, Any], finished: Path, output_hashes: Callable[[Path], dict[str, str]]
) -> Callable[[], list[str]]:
    """Type the line to its end: the bytes of a run that nobody killed, and no rest. Gives the stages that it did."""

    def end() -> list[str]:
        redone, out = finish(start(script, tree)), Path(tree["output_dir"])
        assert output_hashes(out) == output_hashes(finished)
        assert not [path for path in out.rglob("*") if ".tmp" in path.name]
        assert finish(start(script, tree)) == []
        return redone

    return end


def test_a_kill_in_any_stage_changes_no_byte(
    script: Path, tree: dict[str, Any], ends_as_undisturbed: Callable[[], list[str]], tmp_path: Path
) -> None:
    kills = 0
    for stage in ALL:
        folder = tmp_path / "out" / "work" / stage
        kills += kill_when(start(script, tree), (folder / "stage.json" if stage in AT_COMMIT else folder).exists)
    assert kills >= 6  # the last moments of a run may pass before they are seen
    assert set(ends_as_undisturbed()) <= {"tokenizer", "shards"}  # what was committed before a kill was not done again


def test_a_kill_at_a_random_moment_changes_no_byte(
    script: Path, tree: dict[str, Any], ends_as_undisturbed: Callable[[], list[str]]
) -> None:
    after_s = random.Random().uniform(1.0, 3.0)  # another moment in every run
    print(f"killed after {after_s=}: written here in its place, it is tried again")  # shown when the test fails
    end = time.monotonic() + after_s
    kill_when(start(script, tree), lambda: time.monotonic() > end)
    ends_as_undisturbed()


def test_a_kill_in_the_middle_of_a_stage_costs_only_the_parts_in_work(
    script: Path, tree: dict[str, Any], ends_as_undisturbed: Callable[[], list[str]], tmp_path: Path
) -> None:
    clean = tmp_path / "out" / "work" / "clean"

    def parts() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in clean.glob("?????-?????.json")}

    assert kill_when(start(script, tree), lambda: len(parts()) >= 5)
    assert not (clean / "stage.json").exists()
    before = parts()
    ends_as_undisturbed()
    after = parts()
    assert {path: after[path] for path in before} == before
    assert len(after) > len(before)


def test_a_kill_while_shards_are_put_together_keeps_those_that_are_finished(
    script: Path, tree: dict[str, Any], ends_as_undisturbed: Callable[[], list[str]], tmp_path: Path
) -> None:
    tree["shards"]["max_shard_bytes"] = 1 << 16  # the smallest: as many as can be
    records, shards = tmp_path / "out" / "work" / "shards" / "shards", tmp_path / "out" / "shards"

    def finished_shards() -> dict[Path, int]:
        named = [path.stem.split(".", 1) for path in records.glob("*.json")]
        paths = [shards / split / f"{name}.sum" for split, name in named]
        return {path: path.stat().st_mtime_ns for path in paths}

    assert kill_when(start(script, tree), lambda: len(finished_shards()) >= 1)
    before = finished_shards()
    assert not (tmp_path / "out" / "work" / "shards" / "stage.json").exists()
    assert ends_as_undisturbed() == ["shards"]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_kill_in_the_middle_of_the_copies_changes_no_byte(
    made: Any,
    out: Path,
    script: Path,
    config: Callable[..., Any],
    output_hashes: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    """All stages before are finished in both folders."""
    noise = {"_target_": "data_pipeline.augment.noise.Noise", "frac": 0.5, "copies": 3}
    undisturbed = Path(shutil.copytree(out, tmp_path / "undisturbed"))
    finish(start(script, config(made.folder, undisturbed, augment=noise)))
    work, tree = out / "work" / "augment", config(made.folder, out, augment=noise, executor__workers=2)

    def parts() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in work.glob("?????-?????.json")}

    assert kill_when(start(script, tree), lambda: len(parts()) >= 3)
    before = parts()
    assert not (work / "stage.json").exists()
    assert finish(start(script, tree)) == ["augment", "tokenizer", "shards"]
    assert {path: parts()[path] for path in before} == before and len(parts()) > len(before)
    assert output_hashes(out) == output_hashes(undisturbed)


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


def test_a_kill_between_the_verdicts_and_the_report_of_test_sets_changes_no_byte(
    script: Path, tree: dict[str, Any], ends_as_undisturbed: Callable[[], list[str]], tmp_path: Path
) -> None:
    """The process dies as it puts the first file of decontamination/ in its place; all verdicts stand by then."""
    work = tmp_path / "out" / "work" / "decontaminate"
    process = start(script, tree, str(tmp_path / "out" / "decontamination"), "os.rename")
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert not (work / "stage.json").exists()
    before = {path: path.stat().st_mtime_ns for path in work.glob("judge-*.json")}
    assert before and not list((tmp_path / "out" / "decontamination").glob("*.jsonl"))
    ends_as_undisturbed()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not (work / "index").exists()  # what only the work needed is gone


@pytest.mark.parametrize(
    ("killed_at", "stays"),
    [("work/shards/", True), ("shards/train/.", False)],  # as a partition is encoded; as a shard gets its name
)
def test_a_finished_folder_is_as_it_was_until_the_first_shard_is_replaced(
    made: Any,
    out: Path,
    script: Path,
    config: Callable[..., Any],
    finished: Path,
    output_hashes: Callable[[Path], dict[str, str]],
    killed_at: str,
    stays: bool,
) -> None:
    process = start(script, config(made.folder, out, shards__seed=8), f"{out}/{killed_at}", "os.rename")
    _, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL and "stage shards is done anew" in err
    spoke = ("manifest.json", "config.yaml", "ledger.json", "report.html")
    assert [(out / name).exists() for name in spoke] == [stays] * 4
    if stays:
        assert not [each for found in verify(out).values() for each in found]
        assert output_hashes(out) == output_hashes(finished)
    again = start(script, config(made.folder, out))
    out_, err = again.communicate(timeout=120)
    assert json.loads(out_) == ([] if stays else ["shards"]) and "done anew" not in err
    assert output_hashes(out) == output_hashes(finished)
