"""A run as launch/train.py assembles it; `torchrun train_worker.py <folder> <overrides...>` is one rank of a test."""

from __future__ import annotations

import copy
import functools
import sys
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from foundation.config import DEFAULT_TARGETS
from foundation.config.compose import plain
from pretrain.main import Config, assemble, check_config
from pretrain.mesh import Mesh, start_mesh
from pretrain.run import Run, state_of
from pretrain.train import train

CONF = Path(__file__).parents[2] / "conf"
PLACE = "runs_dir="  # of each test another
POISONED_STEP, POISONED_RANK = 3, 1


def make_run(mesh: Mesh, overrides: list[str]) -> Run:
    places = dict(text.split("=", 1) for text in overrides if text.startswith(PLACE))
    tree = copy.deepcopy(composed(tuple(text for text in overrides if not text.startswith(PLACE))))
    return assemble(mesh, Config(**check_config(tree | places, DEFAULT_TARGETS)))


@functools.cache
def composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    """Compose once what many tests of a session run on: Hydra takes ten times as long as what comes after."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(compose("train", list(overrides)))


class Poison:
    """Makes the first micro batch's activations NaN in one step, on one rank: a faulty kernel."""

    def __init__(self, run: Run, step: int) -> None:
        self.run, self.step, self.calls = run, step, 0
        run.model.final_norm.register_forward_hook(self)

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        accumulated, place = divmod(self.calls, self.run.plan.grad_accum_steps)
        self.calls += module.training
        return output * float("nan") if module.training and (accumulated, place) == (self.step, 0) else None


def snapshot(run: Run) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state_of(run).tensors.items()}


class Snapshots:
    """Takes the state before and after each step, at the seat of the profiler."""

    def __init__(self, run: Run) -> None:
        self.run, self.seen = run, [snapshot(run)]

    def step(self, step: int) -> None:
        self.seen.append(snapshot(self.run))

    def close(self) -> None:
        pass


def main(folder: Path, overrides: list[str]) -> None:
    with start_mesh("cpu") as mesh:
        run = make_run(mesh, [*overrides, f"runs_dir={folder}"])
        (folder / f"seed{mesh.rank}.txt").write_text(str(torch.initial_seed()))
        if mesh.rank == POISONED_RANK:
            Poison(run, POISONED_STEP)
        snapshots = Snapshots(run)
        object.__setattr__(run, "profiler", snapshots)
        status = train(run)
        run.loader.close()
        torch.save([status.value, run.progress.num_updates, snapshots.seen], folder / f"rank{mesh.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
