"""What each line says of gradients, clipping and the batch, against NumPy over the whole gradients and tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import xxhash

from pretrain.mesh import Mesh
from pretrain.metrics.lines import read_metrics
from pretrain.run import Run
from pretrain.train import train
from pretrain.types import Batch, Status, StepResult
from pretrain.watch.none import NoWatch

CPU = Mesh(0, 1, 0, torch.device("cpu"))
Gradients = dict[str, np.ndarray]


class Keeps(NoWatch):
    """Copies the gradients before and after each update, and the batches."""

    def __init__(self, run: Run) -> None:
        self.run, self.before, self.after = run, list[Gradients](), list[Gradients]()
        self.batches: list[list[Batch]] = []

    @contextlib.contextmanager
    def looking(self, step: int, batches: list[Batch], result: StepResult, *_: object) -> Iterator[None]:  # type: ignore[override]
        self.batches.append(batches)
        self.before.append(self._gradients())
        yield
        self.after.append(self._gradients())

    def _gradients(self) -> Gradients:
        named = self.run.model.named_parameters()
        return {name: p.grad.double().numpy().copy() for name, p in named if p.grad is not None}


def norm(gradients: Gradients) -> float:
    return float(np.sqrt(sum((gradient**2).sum() for gradient in gradients.values())))


def hash_of(batches: list[Batch]) -> int:
    """The sum over sequences of the xxh3-64 of their tokens as int32, each seeded by its number."""
    total = 0
    for batch in batches:
        for number, inputs, targets in zip(batch.samples, batch.inputs_BT, batch.targets_BT, strict=True):
            tokens = np.array([*inputs.tolist(), int(targets[-1])], dtype="<i4")
            total += xxhash.xxh3_64_intdigest(tokens.tobytes(), int(number))
    return total % 2**64


def test_gradients_clipping_and_batches_are_those_of_numpy(
    worker: ModuleType, overrides: list[str], tmp_path: Path
) -> None:
    kept = [text for text in overrides if not text.startswith("data.mask_after_eot=")]
    kept += ["data.mask_after_eot=false", "optim.lr=1e-6", "trainer.max_steps=6"]
    looked = worker.make_run(CPU, [*kept, "trainer.max_grad_norm=null", "run_name=looked"])
    keeps = Keeps(looked)
    object.__setattr__(looked, "watch", keeps)
    assert train(looked) is Status.FINISHED
    limit = float(np.median([norm(gradients) for gradients in keeps.before]))  # some steps are above it, some below
    run = worker.make_run(CPU, [*kept, f"trainer.max_grad_norm={limit}"])
    keeps = Keeps(run)
    object.__setattr__(run, "watch", keeps)
    assert train(run) is Status.FINISHED
    for each in (looked, run):
        each.loader.close()
        each.log.close("finished")
    num_clipped = 0
    found = list(read_metrics(tmp_path / "run/metrics.jsonl"))
    for step, (line, before, after, batches) in enumerate(
        zip(found, keeps.before, keeps.after, keeps.batches, strict=True), start=1
    ):
        peaks = {name: float(np.abs(gradient).max()) for name, gradient in before.items()}
        name = max(peaks, key=lambda name: peaks[name])
        assert line["grad_norm"] == pytest.approx(norm(before), rel=1e-5)
        assert (line["grad_max_name"], line["grad_max"]) == (name, pytest.approx(peaks[name], rel=1e-6))
        clipped_max = max(float(np.abs(gradient).max()) for gradient in after.values())
        assert line["grad_max_clipped"] == pytest.approx(clipped_max, rel=1e-5)
        assert norm(after) == pytest.approx(min(norm(before), limit), rel=1e-5)
        num_clipped += norm(before) > limit
        assert line["num_clipped"] == num_clipped
        assert line["clipped_frac"] == pytest.approx(num_clipped / step)
        assert line["batch_hash"] == f"{hash_of(batches):016x}"
    assert 0 < num_clipped < 6
