"""A look reads nothing back from the device: of fake tensors, which have no values, that would be an error."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from pretrain.mesh import Mesh
from pretrain.metrics.measures import largest_gradient
from pretrain.model.transformer import Transformer
from pretrain.run import update_looked_into
from pretrain.train import forward_backward, norm_of_gradients, norms_of_gradients
from pretrain.types import Batch, Measured, StepResult
from pretrain.watch.forward import look_into
from pretrain.watch.look import Look
from pretrain.watch.projection import reduced
from pretrain.watch.tokens import said

READS = ("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "bincount", "_unique2")


class Reads(TorchDispatchMode):
    """Takes the names of operations that wait for the device, where it is one."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.found += [name] if name in READS else []
        return func(*args, **(kwargs or {}))


@pytest.fixture
def fake() -> Iterator[FakeTensorMode]:
    with FakeTensorMode() as mode:
        yield mode


def made() -> tuple[Transformer, Tensor]:
    """Return a model and (3, 9) ids, without values."""
    return Transformer(2, 2, 16, 32, vocab_size=40), torch.zeros((3, 9), dtype=torch.int64)


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("sequences", [1, None])
@pytest.mark.parametrize("most", [100, None])
def test_a_look_reads_no_value(sequences: int | None, most: int | None) -> None:
    model, ids = made()
    model.loss_sum(ids, ids)[0].backward()
    model.position_embedding.weight.grad = None
    norms_P, nothing = norms_of_gradients(model), torch.zeros(())
    grad_norm = norm_of_gradients(norms_P)
    measured = Measured(nothing, *largest_gradient(model), nothing, nothing)
    result = StepResult(nothing, grad_norm, nothing, nothing, nothing, nothing, norms_P, measured)
    look = Look(model, 1, most)
    look.at_gradients(result)
    look.at_forward(Batch(ids, ids, np.arange(3), ids[:, 0]), sequences, histograms=True)
    look.at_histograms()
    look.at_update()
    assert len(look.tensors) == 11 and all(isinstance(tensor, FakeTensor) for tensor in look.tensors.values())
    for read in (Tensor.item, Tensor.tolist, Tensor.numpy, bool):
        with pytest.raises((DataDependentOutputException, RuntimeError)):
            read(look.tensors["logits"].sum())


@pytest.mark.usefixtures("fake")
def test_tokens_and_projections_read_no_value() -> None:
    model, ids = made()
    seen = look_into(model, ids)
    assert seen.states_BTD is not None and reduced(seen.states_BTD.flatten(0, 1)).shape == (27, 8)
    assert all(tensor.shape == (3, 9) for tensor in said(seen.logits_BTV, ids).values())


def test_no_operation_of_a_watched_step_waits(worker: ModuleType, overrides: list[str]) -> None:
    watch = ["watch=full", "watch.histograms_every_steps=1", "watch.projections_every_steps=1"]
    cpu = Mesh(0, 1, 0, torch.device("cpu"))
    run = worker.make_run(cpu, [*overrides, *watch, "watch.datapoints_every_steps=1", "watch.datapoint_tokens=24"])
    batches = run.loader.micro_batches(0)
    with Reads() as reads:
        result = forward_backward(run, batches)
        assert result is not None
        with update_looked_into(run, batches, result):
            pass
    run.loader.close()
    assert reads.found == []
    with Reads() as reads:
        assert float(result.loss) > 0 and reads.found == ["_local_scalar_dense"]
    found = {name: list(line) for name, line in run.watch.ready(1, drain=True)}
    assert set(found) == {"watch.jsonl", "datapoints.jsonl"}
    assert isinstance(result.grad_norms_P, Tensor)
