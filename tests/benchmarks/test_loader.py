"""What the table of the loader rests on: all sides give the same work, and the sparse folder is one that is read."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from data_pipeline.shards.verify import verify


@pytest.fixture(scope="module")
def loader(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("loader")


@pytest.fixture(scope="module")
def data_dir(loader: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loader") / "data"
    loader.write_data(folder, 20_000)
    return folder


@pytest.mark.parametrize("side", ["groundwork", "nanoGPT's way", "megatron-core GPTDataset"])
def test_a_side_gives_shuffled_inputs_and_the_targets_one_to_the_right(
    loader: ModuleType, data_dir: Path, side: str
) -> None:
    if side.startswith("megatron") and not importlib.util.find_spec("megatron"):
        pytest.skip("megatron-core is not installed")
    work = loader.work_of((4, 2, 32), 20_000)
    assert work.num_micro_batches == 156
    batches = list(loader.SIDES[side](data_dir, work))
    assert len(batches) == 156
    for inputs_BT, targets_BT in batches:
        assert inputs_BT.shape == targets_BT.shape == (4, 32)
        assert inputs_BT.dtype == targets_BT.dtype == torch.int64
        assert torch.equal(inputs_BT[:, 1:], targets_BT[:, :-1])
    assert len({tuple(row.tolist()) for inputs_BT, _ in batches for row in inputs_BT}) > 300  # of 624


def test_the_sparse_folder_is_sound_and_takes_no_room(loader: ModuleType, tmp_path: Path) -> None:
    loader.write_sparse(tmp_path / "large", 3_300_500, shard_tokens=1_000_000)
    assert not any(verify(tmp_path / "large").values())
    files = list((tmp_path / "large" / "shards" / "train").glob("*.bin"))
    assert sorted(path.stat().st_size for path in files) == [601_000, *[2_000_000] * 3]
    assert sum(path.stat().st_blocks for path in files) * 512 < 100_000


@pytest.mark.slow
def test_the_table_holds_each_side_and_the_time_to_go_on(loader: ModuleType, data_dir: Path) -> None:
    work = loader.Work(num_micro_batches=6, micro_batch_size=2, grad_accum_steps=2, seq_len=64)
    record = loader.run_side("groundwork", data_dir, work)
    assert record["tokens"] == 5 * 2 * 64  # the first micro batch is not timed
    assert record["tree_mb"] > 20
    resumed = loader.run_side(loader.RESUME, data_dir, work)
    assert 0 < resumed["step_s"] < resumed["open_s"] + resumed["step_s"] < resumed["whole_s"]
    slower = record | {"per_core": record["per_core"] / 4, "tree_mb": 99.6}
    options = argparse.Namespace(tokens=20_000, resumed_tokens=10_000_000_000, repeats=1)
    text = loader.report({work: {"groundwork": [record], "peer": [slower]}}, [resumed], options)
    (row,) = [line.split("|")[1:-1] for line in text.splitlines() if "| peer" in line]
    assert [cell.strip() for cell in row][::3] == ["2 x 2 x 64", "4.00"]
    assert row[-1].strip() == "100"
    assert "10 B tokens, groundwork" in text
