"""One rank of test_ranks.py: `torchrun ranks_worker.py <folder>`; writes what it saw to <folder>/rank<n>.json."""

from __future__ import annotations

import math
import os
import random
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

import pretrain.checkpoint.checkpointer as it
from foundation.files import write_json
from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.errors import CheckpointError
from pretrain.mesh import Mesh, start_mesh
from pretrain.plan import Plan
from pretrain.types import TrainState

PLAN = Plan(
    seq_len=8, global_batch_size=4, micro_batch_size=2, dp_size=2, max_steps=100, samples_per_epoch=1000, seed=0
)


def state_of(seed: int, sharded: bool) -> TrainState:
    """The same replicated tensors on every rank; with `sharded` one more that is spread over the ranks."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {f"model.{name}": torch.randn(40, 300, generator=generator) for name in "abcd"}
    tensors["optim.step"] = torch.tensor(float(seed))
    whole = torch.randn(7, 50, generator=generator)  # 7 rows: ranks hold unequal shares
    if sharded:
        tensors["model.sharded"] = distribute_tensor(whole, init_device_mesh("cpu", (2,)), [Shard(0)])
    else:
        tensors["model.sharded"] = whole
    limit = math.inf if os.environ.get("RANK", "0") == "0" else None  # as a config with `.inf` comes to the other ranks
    return TrainState(tensors, {"step": seed, "gate": {"seed": 1, "optim.limit": limit}})


def local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def equal(one: TrainState, other: TrainState) -> bool:
    return all(torch.equal(local(one.tensors[name]), local(other.tensors[name])) for name in one.tensors)


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def attempt(action: Any) -> str:
    try:
        action()
    except CheckpointError as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def run(mesh: Mesh, folder: Path) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    run_dir = folder / "run"
    checkpoints = run_dir / "checkpoints"
    checkpointer = DcpCheckpoint(10, 3, mesh, PLAN, run_dir, asynchronous=False)
    for step in (10, 20, 30):
        state = state_of(step, sharded=True)
        torch.manual_seed(100 * step + mesh.rank)
        random.seed(100 * step + mesh.rank)
        checkpointer.save(step, state)
    expected = [torch.rand(()).item(), random.random()]
    mesh.barrier()

    live = state_of(99, sharded=True)
    checkpointer.load(live)
    seen["exact"] = equal(live, state_of(30, sharded=True)) and live.facts["step"] == 30
    seen["random"] = [torch.rand(()).item(), random.random()] == expected
    seen["draw"] = expected

    real = it.step_folders  # a rank may see the folder as it was a moment ago, as over NFS
    it.step_folders = lambda folder: [] if mesh.rank == 1 else real(folder)
    live = state_of(99, sharded=True)
    seen["stale listing"] = checkpointer.load(live) and live.facts["step"]
    it.step_folders = real

    if mesh.is_main:
        shutil.copytree(run_dir, folder / "kept")
        flip(checkpoints / "step_00000030" / "rank_00001.bin", 70)
    mesh.barrier()
    live = state_of(99, sharded=True)
    seen["explicit"] = attempt(lambda: checkpointer.load(live, str(checkpoints / "step_00000030")))
    seen["untouched"] = equal(live, state_of(99, sharded=True))
    seen["fell back"] = checkpointer.load(live) and live.facts["step"]
    seen["fell back exactly"] = equal(live, state_of(20, sharded=True))

    if mesh.rank == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    seen["failed save"] = attempt(lambda: checkpointer.save(40, state_of(40, sharded=True)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    mesh.barrier()
    seen["folders"] = sorted(path.name for path in checkpoints.iterdir())
    mesh.barrier()

    if mesh.rank == 1:  # it alone holds a NaN, in its share
        state.tensors["model.sharded"].to_local()[0, 0] = float("nan")
    checkpointer.save(50, state)
    seen["unhealthy"] = attempt(lambda: checkpointer.load(live, str(checkpoints / "step_00000050")))

    seen |= run_beside(mesh, folder / "beside")

    other = DcpCheckpoint(10, 3, mesh, PLAN, folder / "one")  # what one process saved
    live = state_of(99, sharded=True)
    seen["from one"] = other.load(live) and equal(live, state_of(7, sharded=True))
    seen["derived"] = torch.rand(()).item()
    wrong = state_of(99, sharded=True)
    if mesh.rank == 1:
        del wrong.tensors["model.a"]
    seen["mismatch"] = attempt(lambda: other.load(wrong))
    return seen


def run_beside(mesh: Mesh, run_dir: Path) -> dict[str, Any]:
    """Save beside collectives of the steps, with tensors that change at once; then fail on one rank."""
    seen: dict[str, Any] = {}
    checkpointer = DcpCheckpoint(10, 3, mesh, PLAN, run_dir)
    for step in (10, 20):
        state = state_of(step, sharded=True)
        torch.manual_seed(100 * step + mesh.rank)
        random.seed(100 * step + mesh.rank)
        checkpointer.save(step, state)
        for tensor in state.tensors.values():
            local(tensor).fill_(float("nan"))
        while checkpointer.poll(0) is None:  # ends at the same turn on both ranks, or a sum would miss one
            mesh.sum(torch.ones(1))
    live = state_of(99, sharded=True)
    checkpointer.load(live)
    seen["beside"] = equal(live, state_of(20, sharded=True))
    seen["mine"] = sorted(checkpointer._beside._names_to_write(live.tensors))
    seen["copied"] = checkpointer._beside._staging.size_bytes

    if mesh.rank == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    checkpointer.save(30, live)
    turns = 0

    def turn() -> None:
        nonlocal turns
        while True:
            checkpointer.poll(0)
            mesh.sum(torch.ones(1))
            turns += 1

    seen["failed beside"], seen["turns"] = attempt(turn), turns
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    mesh.barrier()
    seen["folders beside"] = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    mesh.barrier()
    checkpointer.save(30, live)
    checkpointer.close()
    return seen


if __name__ == "__main__":
    with start_mesh("cpu") as this_mesh:
        target = Path(sys.argv[1])
        write_json(target / f"rank{this_mesh.rank}.json", run(this_mesh, target))
