"""One rank of test_replicas.py: `replicas_worker.py <folder>`; makes faults and writes what each one raised."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pretrain.mesh import Mesh, start_mesh
from pretrain.model.transformer import Transformer
from pretrain.optim.adamw import AdamW
from pretrain.parallel.errors import ReplicasDiffer
from pretrain.parallel.replicas import compare_replicas

Tensors, Facts = dict[str, Tensor], dict[str, object]
WEIGHT, MOMENT, COUNTER = (
    "model.blocks.0.attention.qkv.weight",
    "optim.final_norm.bias.exp_avg",
    "optim.final_norm.bias.step",
)
WINDOW = "guard.count"


def make_state() -> tuple[Tensors, Facts]:
    """A model after an update, a guard's counter, and what is no tensor."""
    model = Transformer(num_layers=2, num_heads=2, d_model=16, context_len=8, vocab_size=64)
    optimizer, ids_BT = AdamW(1e-2, model), torch.arange(16).view(2, 8)
    model.loss_sum(ids_BT, ids_BT)[0].backward()
    optimizer.step(1e-2, torch.tensor(0.0), torch.tensor(1.0))
    tensors = {f"model.{name}": tensor.detach() for name, tensor in model.state_dict().items()}
    tensors |= {f"optim.{name}": tensor for name, tensor in optimizer.tensors().items()}
    tensors[WINDOW] = torch.tensor(3)
    return tensors, {"step": 7, "tokens_seen": 123, "guard": {"skips": 0}, "lr": 0.01}


def flip(name: str, bit: int, rank: int) -> Callable[[Mesh, Tensors, Facts], None]:
    def fault(mesh: Mesh, tensors: Tensors, facts: Facts) -> None:
        if mesh.rank == rank:
            tensors[name].view(-1)[-1:].view(torch.int32)[0] ^= 1 << bit

    return fault


def swap(mesh: Mesh, tensors: Tensors, facts: Facts) -> None:
    if mesh.rank == 1:
        tensors[WEIGHT].view(-1)[[3, 8]] = tensors[WEIGHT].view(-1)[[8, 3]]


def other_facts(mesh: Mesh, tensors: Tensors, facts: Facts) -> None:
    if mesh.rank == 0:
        facts["lr"] = 0.01 + 2**-59
        facts["tokens_seen"] = 124


def all_moments(mesh: Mesh, tensors: Tensors, facts: Facts) -> None:
    if mesh.rank == 1:
        for name in tensors:
            if name.endswith(".exp_avg"):
                tensors[name] += 1.0


def each_its_own(mesh: Mesh, tensors: Tensors, facts: Facts) -> None:
    tensors[WEIGHT][0, 0] = mesh.rank


FAULTS: dict[str, Callable[[Mesh, Tensors, Facts], None]] = {
    "none": lambda mesh, tensors, facts: None,
    "weight, lowest bit": flip(WEIGHT, 0, rank=1),
    "weight, sign": flip(WEIGHT, 31, rank=0),
    "moment": flip(MOMENT, 20, rank=1),
    "counter": flip(COUNTER, 3, rank=1),
    "guard": flip(WINDOW, 1, rank=1),
    "swap": swap,
    "facts": other_facts,
    "all moments": all_moments,
    "each its own": each_its_own,
}


def main(folder: Path) -> None:
    said = {}
    with start_mesh("cpu") as mesh:
        for name, fault in FAULTS.items():
            tensors, facts = make_state()
            fault(mesh, tensors, facts)
            try:
                compare_replicas(tensors, facts, mesh, step=7)
                said[name] = ""
            except ReplicasDiffer as error:
                said[name] = str(error)
    (folder / f"rank{mesh.rank}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
