"""What the tests of this room share: states to save, a checkpointer on one CPU process, ways to harm a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from torch import Tensor

from foundation.files import pretty_json, read_json
from foundation.hashes import hash_bytes, hash_json
from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.types import TrainState


def tensors_of(seed: int) -> dict[str, Tensor]:
    """A model and its optimizer in small, with what is awkward: 0-d, empty, bfloat16, not contiguous, over a block."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(150, 200, generator=generator)  # 120 kB: two blocks
    return {
        "model.weight": weight,
        "model.half": torch.randn(33, generator=generator).bfloat16(),
        "model.transposed": torch.randn(7, 5, generator=generator).T,
        "model.empty": torch.zeros(0, 4),
        "optim.weight.exp_avg": torch.randn(150, 200, generator=generator),
        "optim.weight.step": torch.tensor(float(seed)),
        "guard.count": torch.tensor(seed, dtype=torch.int64),
        "guard.mask": torch.rand(17, generator=generator) < 0.5,
    }


@pytest.fixture
def plan() -> Plan:
    return Plan(
        seq_len=8, global_batch_size=4, micro_batch_size=2, dp_size=1, max_steps=105, samples_per_epoch=1000, seed=0
    )


@pytest.fixture
def mesh() -> Mesh:
    return Mesh(rank=0, world_size=1, local_rank=0, device=torch.device("cpu"))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def make_state() -> Callable[..., TrainState]:
    def make(seed: int, **facts: Any) -> TrainState:
        return TrainState(tensors_of(seed), {"step": seed, "data_step": seed, "gate": {"seed": 1}, **facts})

    return make


@pytest.fixture
def checkpointer(mesh: Mesh, plan: Plan, run_dir: Path) -> DcpCheckpoint:
    return DcpCheckpoint(every_steps=10, keep_last=3, mesh=mesh, plan=plan, run_dir=run_dir, asynchronous=False)


@pytest.fixture
def saved(checkpointer: DcpCheckpoint, make_state: Callable[..., TrainState], run_dir: Path) -> Path:
    """The folder of a checkpoint of step 10."""
    checkpointer.save(10, make_state(10))
    return run_dir / "checkpoints" / "step_00000010"


@pytest.fixture
def same_tensors() -> Callable[[dict[str, Tensor], dict[str, Tensor]], bool]:
    def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
        return one.keys() == other.keys() and all(
            one[name].dtype == other[name].dtype
            and one[name]
            .contiguous()
            .view(-1)
            .view(torch.uint8)
            .equal(other[name].contiguous().view(-1).view(torch.uint8))
            for name in one
        )

    return same


@pytest.fixture
def forge() -> Callable[[Path, str, bytes], None]:
    """Replace a file's content as an attacker would: with sizes and hashes in the manifest that fit."""

    def change(folder: Path, name: str, data: bytes) -> None:
        manifest = read_json(folder / "manifest.json")
        manifest.pop("hash")
        (folder / name).write_bytes(data)
        manifest["files"][name] = {"size_bytes": len(data), "hash": hash_bytes(data)}
        if name.endswith(".sum"):
            manifest["files"][name.replace(".sum", ".bin")]["hash"] = hash_bytes(data)
        (folder / "manifest.json").write_bytes(pretty_json({**manifest, "hash": hash_json(manifest)}))

    return change


@pytest.fixture
def journal(run_dir: Path) -> Callable[[], list[dict[str, Any]]]:
    def read() -> list[dict[str, Any]]:

        path = run_dir / "journal.jsonl"
        return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    return read
