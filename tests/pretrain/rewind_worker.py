"""One rank of a run with faults on its last rank alone: `torchrun rewind_worker.py <folder> <overrides...>`."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch
from torch import Tensor

from pretrain.mesh import start_mesh
from pretrain.run import restore, state_of
from tests.pretrain.faults import Fault, finish
from tests.pretrain.train_worker import make_run

# batch -> what the first micro batch's activations are multiplied by, and what their gradient is
FAULTS = {
    5: (math.nan, 1.0),  # in warm-up, before any window is armed; and not in the last micro batch
    24: (1.0, math.nan),
    27: (100.0, 1.0),
    30: (1.0, 1e4),
    40: (math.nan, 1.0),
    41: (math.inf, 1.0),
    42: (1.0, math.nan),
}


class Faults(Fault):
    """Puts them in."""

    def change(self, data_step: int, output: Tensor) -> Tensor | None:
        if data_step not in FAULTS:
            return None
        forward, backward = FAULTS[data_step]
        if backward != 1.0:
            output.register_hook(lambda gradient: gradient * backward)
        return output * forward


def main(folder: Path, overrides: list[str]) -> None:
    with start_mesh("cpu") as mesh:
        run = make_run(mesh, [*overrides, f"runs_dir={folder}"])
        restore(run)
        if mesh.rank == mesh.world_size - 1:
            Faults(run)
        status = finish(run)
        torch.save([status.value, state_of(run).tensors], folder / f"rank{mesh.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
