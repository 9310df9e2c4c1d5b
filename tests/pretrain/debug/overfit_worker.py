"""`torchrun overfit_worker.py <folder> <overfits> <overrides...>`: a run of two ranks, before it a batch by heart."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from pretrain.debug.overfit import overfit
from pretrain.mesh import start_mesh
from pretrain.run import state_of
from pretrain.train import train
from tests.pretrain.train_worker import make_run

if __name__ == "__main__":
    folder, overfits, overrides = Path(sys.argv[1]), sys.argv[2] == "True", sys.argv[3:]
    with start_mesh("cpu") as mesh:
        run = make_run(mesh, overrides)
        found = overfit(run, [2], [], max_steps=4).attempts[0].losses if overfits else []
        train(run)
        run.loader.close()
        torch.save([found, state_of(run).tensors], folder / f"{overfits}{mesh.rank}.pt")
