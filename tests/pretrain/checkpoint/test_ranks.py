"""Two ranks over gloo: what all hold is written once, all load the same, all learn of the damage one of them finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from foundation.files import read_json
from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.integrity import read_manifest, verify
from pretrain.mesh import Mesh

pytestmark = pytest.mark.slow
WORKER = Path(__file__).with_name("ranks_worker.py")


@pytest.fixture(scope="module")
def worker(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    return load_module(WORKER)


def one_rank(worker: ModuleType, run_dir: Path) -> DcpCheckpoint:
    return DcpCheckpoint(10, 3, Mesh(0, 1, 0, torch.device("cpu")), worker.PLAN, run_dir, asynchronous=False)


@pytest.fixture(scope="module")
def folder(worker: ModuleType, tmp_path_factory: pytest.TempPathFactory, run_ranks: Callable[..., str]) -> Path:
    """Where a run of two ranks left its checkpoints and what each of them saw."""
    folder = tmp_path_factory.mktemp("ranks")
    one_rank(worker, folder / "one").save(7, worker.state_of(7, sharded=False))
    (folder / "said").write_text(run_ranks(WORKER, folder, ranks=2))
    return folder


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, Any]]:
    return [read_json(folder / f"rank{rank}.json") for rank in range(2)]


def test_both_ranks_get_back_what_they_saved(ranks: list[dict[str, Any]]) -> None:
    assert all(rank["exact"] and rank["random"] for rank in ranks)
    assert ranks[0]["draw"] != ranks[1]["draw"]


def test_a_rank_that_does_not_see_the_newest_yet_loads_it_all_the_same(ranks: list[dict[str, Any]]) -> None:
    assert [rank["stale listing"] for rank in ranks] == [30, 30]


def test_replicated_tensors_are_written_once_and_balanced(folder: Path) -> None:
    kept = folder / "kept" / "checkpoints" / "step_00000030"
    assert verify(kept) == []
    tensors = read_json(kept / "metadata.json")["tensors"]
    assert [len(tensors[f"model.{name}"]["chunks"]) for name in "abcd"] == [1, 1, 1, 1]
    assert sorted(chunk["sizes"] for chunk in tensors["model.sharded"]["chunks"]) == [[3, 50], [4, 50]]
    sizes = [(kept / f"rank_0000{rank}.bin").stat().st_size for rank in range(2)]
    whole = (4 * 40 * 300 + 7 * 50 + 1) * 4
    assert whole <= sum(sizes) < whole + 1000 and abs(sizes[0] - sizes[1]) < 2000
    assert read_manifest(kept).world_size == 2


def test_one_process_goes_on_from_two(folder: Path, worker: ModuleType) -> None:
    live = worker.state_of(99, sharded=False)
    assert one_rank(worker, folder / "kept").load(live)
    assert worker.equal(live, worker.state_of(30, sharded=False))


def test_two_processes_go_on_from_one_with_random_states_of_their_own(ranks: list[dict[str, Any]]) -> None:
    assert ranks[0]["from one"] and ranks[1]["from one"]
    assert ranks[0]["derived"] != ranks[1]["derived"]


def test_damage_in_one_file_is_learnt_by_all_before_a_tensor_is_touched(ranks: list[dict[str, Any]]) -> None:
    found = [rank["explicit"] for rank in ranks]
    assert all(text.startswith("DamagedCheckpoint") for text in found)
    assert all("rank_00001.bin: bytes 0 to" in text for text in found)  # whoever found it: the journal is rank 0's
    assert sum(": rank " in text for text in found) == 1  # and who that was
    assert all(rank["untouched"] for rank in ranks)


def test_all_fall_back_to_the_same_one_and_it_is_said(ranks: list[dict[str, Any]], folder: Path) -> None:
    assert [rank["fell back"] for rank in ranks] == [20, 20] and all(rank["fell back exactly"] for rank in ranks)
    assert "step_00000030.set_aside1" in ranks[0]["folders"]
    said = (folder / "said").read_text()
    assert "rank_00001.bin: bytes 0 to" in said and "step_00000020 is taken instead" in said


def test_a_save_that_fails_on_one_rank_fails_on_all_and_leaves_nothing(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["failed save"].startswith("SaveFailed") and "File too large" in rank["failed save"]
        assert rank["folders"] == ["step_00000010", "step_00000020", "step_00000030.set_aside1"]


def test_a_nan_in_one_ranks_share_makes_the_checkpoint_unhealthy(ranks: list[dict[str, Any]]) -> None:
    assert all("UnhealthyCheckpoint" in rank["unhealthy"] and "model.sharded" in rank["unhealthy"] for rank in ranks)


def test_a_mismatch_on_one_rank_stops_all(ranks: list[dict[str, Any]]) -> None:
    assert all(rank["mismatch"].startswith("CheckpointMismatch") for rank in ranks)
    assert "model.a: only in the checkpoint" in ranks[1]["mismatch"]


def test_beside_the_steps_both_ranks_save_what_was_there(ranks: list[dict[str, Any]]) -> None:
    assert all(rank["beside"] for rank in ranks)


def test_beside_the_steps_the_bytes_are_the_same(folder: Path) -> None:
    at_once, beside = (folder / name / "checkpoints/step_00000020" for name in ("run", "beside"))
    for path in beside.iterdir():
        assert path.read_bytes() == (at_once / path.name).read_bytes(), path.name
    assert verify(beside.with_name("step_00000030")) == []


def test_a_rank_copies_what_it_writes_and_no_more(ranks: list[dict[str, Any]]) -> None:
    mine = [set(rank["mine"]) - {"model.sharded"} for rank in ranks]
    assert mine[0] | mine[1] == {"model.a", "model.b", "model.c", "model.d", "optim.step"} and not mine[0] & mine[1]
    whole = (4 * 40 * 300 + 7 * 50 + 1) * 4
    assert all(0.4 * whole < rank["copied"] < 0.6 * whole for rank in ranks)


def test_an_error_beside_the_steps_is_every_ranks_at_the_same_step(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["failed beside"].startswith("SaveFailed") and "File too large" in rank["failed beside"]
        assert rank["folders beside"] == ["step_00000010", "step_00000020"]
    assert ranks[0]["turns"] == ranks[1]["turns"]
