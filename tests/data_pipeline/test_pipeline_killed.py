"""SIGKILL in every stage, then the same command: the same bytes as without. Real processes, most with two workers."""

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
from tests.data_pipeline.killed import Runs, ended, kill_when
from tests.lines import Lines

pytestmark = pytest.mark.slow

# for the owner of a folder: 2 s in place of 10
WAIT_LESS = "import foundation.files; foundation.files.folder_lock.__wrapped__.__defaults__ = (2.0,)"
AT_COMMIT = ("near", "tokenizer")  # the others are killed as they begin


@pytest.fixture(scope="module")
def runs(typed: Lines, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(typed, tmp_path_factory.mktemp("script"))


@pytest.fixture
def tree(made: Any, config: Callable[..., Any], tmp_path: Path) -> dict[str, Any]:
    """The config of a run that is killed."""
    tree: dict[str, Any] = config(made.folder, tmp_path / "out", executor__workers=2)
    return tree


@pytest.fixture
def ends_as_undisturbed(
    runs: Runs, tree: dict[str, Any], finished: Path, output_hashes: Callable[[Path], dict[str, str]]
) -> Callable[[], list[str]]:
    """Type the line to its end: the bytes of a run that nobody killed, and no rest. Gives the stages that it did."""

    def end() -> list[str]:
        redone, out = runs.finish(tree), Path(tree["output_dir"])
        assert output_hashes(out) == output_hashes(finished)
        assert not [path for path in out.rglob("*") if ".tmp" in path.name]
        assert runs.finish(tree) == []
        return redone

    return end


def test_a_kill_in_any_stage_changes_no_byte(
    runs: Runs, tree: dict[str, Any], ends_as_undisturbed: Callable[[], list[str]], tmp_path: Path
) -> None:
    """One process, that works in one stage of all: what two workers leave behind is seen in the others."""
    tree["executor"]["workers"] = 1
    kills = 0
    for stage in ALL:
        folder = tmp_path / "out" / "work" / stage
        kills += kill_when(runs.start(tree), (folder / "stage.json" if stage in AT_COMMIT else folder).exists)
    assert kills >= 6  # the last moments of a run may pass before they are seen
    assert set(ends_as_undisturbed()) <= {"tokenizer", "shards"}  # what was committed before a kill was not done again


def test_a_kill_at_a_random_moment_changes_no_byte(
    runs: Runs, tree: dict[str, Any], ends_as_undisturbed: Callable[[], list[str]]
) -> None:
    after_s = random.Random().uniform(1.0, 3.0)  # another moment in every run
    print(f"killed after {after_s=}: written here in its place, it is tried again")  # shown when the test fails
    end = time.monotonic() + after_s
    kill_when(runs.start(tree), lambda: time.monotonic() > end)
    ends_as_undisturbed()


def test_a_kill_in_the_middle_of_a_stage_costs_only_the_parts_in_work(
    runs: Runs, tree: dict[str, Any], ends_as_undisturbed: Callable[[], list[str]], tmp_path: Path
) -> None:
    clean = tmp_path / "out" / "work" / "clean"

    def parts() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in clean.glob("?????-?????.json")}

    assert kill_when(runs.start(tree), lambda: len(parts()) >= 3)
    assert not (clean / "stage.json").exists()
    before = parts()
    ends_as_undisturbed()
    after = parts()
    assert {path: after[path] for path in before} == before
    assert len(after) > len(before)


def test_a_kill_while_shards_are_put_together_keeps_those_that_are_finished(
    runs: Runs, tree: dict[str, Any], ends_as_undisturbed: Callable[[], list[str]], tmp_path: Path
) -> None:
    tree["shards"]["max_shard_bytes"] = 1 << 16  # the smallest: as many as can be
    records, shards = tmp_path / "out" / "work" / "shards" / "shards", tmp_path / "out" / "shards"

    def finished_shards() -> dict[Path, int]:
        named = [path.stem.split(".", 1) for path in records.glob("*.json")]
        paths = [shards / split / f"{name}.sum" for split, name in named]
        return {path: path.stat().st_mtime_ns for path in paths}

    assert kill_when(runs.start(tree), lambda: len(finished_shards()) >= 1)
    before = finished_shards()
    assert not (tmp_path / "out" / "work" / "shards" / "stage.json").exists()
    assert ends_as_undisturbed() == ["shards"]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_kill_in_the_middle_of_the_copies_changes_no_byte(
    made: Any,
    out: Path,
    runs: Runs,
    config: Callable[..., Any],
    output_hashes: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    """All stages before are finished in both folders."""
    noise = {"_target_": "data_pipeline.augment.noise.Noise", "frac": 0.5, "copies": 3}
    undisturbed = Path(shutil.copytree(out, tmp_path / "undisturbed"))
    runs.finish(config(made.folder, undisturbed, augment=noise))
    work, tree = out / "work" / "augment", config(made.folder, out, augment=noise, executor__workers=2)

    def parts() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in work.glob("?????-?????.json")}

    assert kill_when(runs.start(tree), lambda: len(parts()) >= 2)
    before = parts()
    assert not (work / "stage.json").exists()
    assert runs.finish(tree) == ["augment", "tokenizer", "shards"]
    assert {path: parts()[path] for path in before} == before and len(parts()) > len(before)
    assert output_hashes(out) == output_hashes(undisturbed)


def test_a_kill_before_what_is_left_over_is_removed_leaves_nothing_for_ever(
    inputs: Path,
    out: Path,
    runs: Runs,
    config: Callable[..., Any],
    output_hashes: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    (inputs / "web" / "c.jsonl.zst").unlink()  # it had an unreadable line
    assert ended(runs.start(config(inputs, out), str(out / "quarantine")))[0] == -signal.SIGKILL
    runs.finish(config(inputs, out))
    runs.finish(config(inputs, tmp_path / "fresh"))
    assert output_hashes(out) == output_hashes(tmp_path / "fresh")


def test_a_second_run_waits_and_then_names_the_owner(
    made: Any, runs: Runs, config: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with folder_lock(out):
        started = time.monotonic()
        code, said = ended(runs.start(config(made.folder, out), before=WAIT_LESS))
        assert time.monotonic() - started >= 2
    assert code == 1
    assert f"process {os.getpid()} on " in said and "Traceback" not in said
    assert not (out / "work").exists()


def test_a_kill_between_the_verdicts_and_the_report_of_test_sets_changes_no_byte(
    runs: Runs, tree: dict[str, Any], ends_as_undisturbed: Callable[[], list[str]], tmp_path: Path
) -> None:
    """The process dies as it puts the first file of decontamination/ in its place; all verdicts stand by then."""
    work = tmp_path / "out" / "work" / "decontaminate"
    assert ended(runs.start(tree, str(tmp_path / "out" / "decontamination"), "os.rename"))[0] == -signal.SIGKILL
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
    runs: Runs,
    config: Callable[..., Any],
    finished: Path,
    output_hashes: Callable[[Path], dict[str, str]],
    killed_at: str,
    stays: bool,
) -> None:
    code, said = ended(runs.start(config(made.folder, out, shards__seed=8), f"{out}/{killed_at}", "os.rename"))
    assert code == -signal.SIGKILL and "stage shards is done anew" in said
    spoke = ("manifest.json", "config.yaml", "ledger.json", "report.html")
    assert [(out / name).exists() for name in spoke] == [stays] * 4
    if stays:
        assert not [each for found in verify(out).values() for each in found]
        assert output_hashes(out) == output_hashes(finished)
    code, said = ended(runs.start(config(made.folder, out)))
    assert code == 0 and json.loads(said.splitlines()[-1]) == ([] if stays else ["shards"]) and "done anew" not in said
    assert output_hashes(out) == output_hashes(finished)
