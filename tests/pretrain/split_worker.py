"""The same batches under many splits; `split_worker.py <data> <folder>` is one rank of test_split.py."""

from __future__ import annotations

import copy
import functools
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from foundation.config import DEFAULT_TARGETS
from foundation.config.compose import plain
from pretrain.main import Config, assemble, check_config
from pretrain.mesh import Mesh, start_mesh
from pretrain.metrics.lines import read_metrics
from pretrain.run import Run
from pretrain.train import train
from pretrain.types import IGNORE, Batch, Status

CONF = Path(__file__).parents[2] / "conf"
STEPS = 2
# eps: Adam divides the gradient of what has none but rounding (the bias of keys) by itself; this leaves it small
SIZES = ["model.d_model=32", "model.context_len=64"]
MODELS = {
    "gpt_tiny": [*SIZES, "model.num_layers=2", "model.num_heads=2"],
    "lstm_tiny": SIZES,
    "bigram": SIZES,
}
LINE = [
    "trainer.seq_len=32",
    "trainer.device_type=cpu",
    "data.path=given",
    "logger=none",
    "eval=none",
    "checkpoint=none",
    "data.mask_after_eot=true",
    "optim.eps=1e-4",
    "optim.lr=1e-2",
    "schedule=constant",
    "schedule.warmup_steps=0",
    "trainer.max_grad_norm=1.0",
    "run_name=run",
]


class Case(NamedTuple):
    """A global batch, and how it is split at each world size.

    Attributes:
        micro_batch_size: world size -> sequences.
        masked: places in the global batch of the sequences that have no target at all.
    """

    name: str
    seed: int
    global_batch_size: int
    micro_batch_size: dict[int, int]
    masked: frozenset[int]
    dropout: float
    precision: str
    model: str = "gpt_tiny"


def cases() -> list[Case]:
    """Random ones; every other one leaves rank 1 of 2, and every odd micro batch, without a target."""
    made, draw = [], random.Random(1)
    for number in range(8):
        size = draw.choice([4, 8, 12, 16])
        fitting = {ranks: [m for m in (1, 2, 3, 4, 8) if size % (m * ranks) == 0] for ranks in (1, 2, 4)}
        micro = {ranks: draw.choice(sizes) for ranks, sizes in fitting.items()}
        if number % 2:
            masked = [place for place in range(size) if place // micro[2] % 2]
        else:
            masked = draw.sample(range(size), draw.randrange(size // 2))
        dropout, precision = (0.0, 0.1, 0.3, 0.1)[number % 4], "bfloat16" if number >= 4 else "float32"
        name = f"{number}: {size} by {micro}, dropout {dropout}, {precision}"
        made.append(Case(name, number, size, micro, frozenset(masked), dropout, precision))
    others = zip(("lstm_tiny", "bigram"), (2, 5), strict=True)
    return [*made, *(made[number]._replace(name=f"{model} {number}", model=model) for model, number in others)]


@functools.cache
def composed(model: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(compose("train", [f"model={model}", *MODELS[model], *LINE]))


def make_run(mesh: Mesh, data: Path, folder: Path, case: Case, whole: bool = False) -> Run:
    tree = copy.deepcopy(composed(case.model)) | {"seed": case.seed, "runs_dir": str(folder)}
    tree["data"]["path"] = str(data)
    tree["precision"]["dtype"] = case.precision
    if "dropout" in tree["model"]:
        tree["model"]["dropout"] = case.dropout
    tree["trainer"] |= {
        "global_batch_size": case.global_batch_size,
        "micro_batch_size": case.global_batch_size if whole else case.micro_batch_size[mesh.world_size],
        "max_steps": STEPS,
    }
    run = assemble(mesh, Config(**check_config(tree, DEFAULT_TARGETS)))
    read = run.loader.micro_batches
    run.loader.micro_batches = lambda data_step: [mask(batch, case) for batch in read(data_step)]  # type: ignore[method-assign]
    return run


def mask(batch: Batch, case: Case) -> Batch:
    for row, sample in enumerate(batch.samples.tolist()):
        if sample % case.global_batch_size in case.masked:
            batch.targets_BT[row] = IGNORE
    return batch


def outcome(run: Run, folder: Path) -> dict[str, Any]:
    """Train; return for each step the weights it began with, its gradients and its line, and the weights at the end."""
    found: dict[str, Any] = {"weights": [], "gradients": []}
    update = run.optimizer.step

    def step(lr: float, bad: Tensor, grad_scale: Tensor) -> None:
        found["weights"].append(weights(run))
        found["gradients"].append({name: p.grad.clone() for name, p in run.model.named_parameters()})
        update(lr, bad, grad_scale)

    run.optimizer.step = step  # type: ignore[method-assign]
    assert train(run) is Status.FINISHED
    run.loader.close()
    run.log.close("finished")
    found["weights"].append(weights(run))
    if run.mesh.is_main:
        found["lines"] = list(read_metrics(folder / "run/metrics.jsonl"))
    return found


def weights(run: Run) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in run.model.named_parameters()}


def run_cases(mesh: Mesh, data: Path, folder: Path, whole: bool = False) -> None:
    """Write each case's outcome to <its number>.pt in `folder`."""
    for number, case in enumerate(cases()):
        runs = folder / str(number)
        found = outcome(make_run(mesh, data, runs, case, whole), runs)
        if mesh.is_main:
            torch.save(found, folder / f"{number}.pt")


if __name__ == "__main__":
    with start_mesh("cpu") as its_mesh:
        run_cases(its_mesh, Path(sys.argv[1]), Path(sys.argv[2]))
