from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from foundation.errors import SettingError
from pretrain.mesh import Mesh
from pretrain.parallel.ddp import DDP
from pretrain.parallel.errors import ParallelError

WORKER = Path(__file__).with_name("ddp_worker.py")


@pytest.fixture(scope="module")
def worker(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    return load_module(WORKER)


@pytest.fixture(scope="module", params=[2, 3])
def ranks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, run_ranks: Callable[..., str]
) -> list[dict[str, Any]]:
    """What each rank of a run over gloo saw."""
    folder = tmp_path_factory.mktemp("ddp")
    run_ranks(WORKER, folder, ranks=request.param)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(request.param)]


def gradients_of_the_whole_batch(worker: ModuleType, model: torch.nn.Module, step: int) -> dict[str, Tensor]:
    """One backward over the mean loss of the global batch, in float64: no ranks, no micro batches."""
    inputs, targets = (torch.cat(parts) for parts in zip(*worker.micro_batches(step), strict=True))
    logits = model.double()._hidden(inputs) @ model.token_embedding.weight.T
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    return {name: parameter.grad.float() for name, parameter in model.named_parameters()}


@pytest.mark.slow
def test_gradients_are_those_of_the_whole_batch(ranks: list[dict[str, Any]], worker: ModuleType) -> None:
    expected = gradients_of_the_whole_batch(worker, worker.make_model(), step=0)
    for name, gradient in expected.items():
        torch.testing.assert_close(ranks[0]["step 0"][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.slow
def test_later_steps_have_the_gradient_of_the_whole_batch_too(ranks: list[dict[str, Any]], worker: ModuleType) -> None:
    model = worker.make_model()  # DDP rebuilds its buckets after the first step
    optimizer = worker.AdamW(1e-2, model)
    for name, parameter in model.named_parameters():
        parameter.grad = ranks[0]["step 0"][name].clone()
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in model.parameters()])
    optimizer.step(1e-2, bad=torch.tensor(0.0), grad_scale=norm.clamp(min=1.0))
    optimizer.zero_grad()
    expected = gradients_of_the_whole_batch(worker, model, step=1)
    for name, gradient in expected.items():
        torch.testing.assert_close(ranks[0]["step 1"][name], gradient, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.slow
def test_ranks_agree_after_the_last_micro_batch_and_not_before(ranks: list[dict[str, Any]]) -> None:
    first, *others = ranks
    for other in others:
        for step in range(2):
            key = f"step {step}"
            assert all(torch.equal(gradient, other[key][name]) for name, gradient in first[key].items())
        early = "before the last"  # nothing has crossed ranks yet
        assert not any(torch.equal(gradient, other[early][name]) for name, gradient in first[early].items())


@pytest.mark.slow
def test_a_nan_on_one_rank_in_an_early_micro_batch_changes_no_bit(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert any(gradient.isnan().any() for gradient in rank["step 2"].values())
        assert len(rank["after the bad step"]) > 100
        for name, tensor in rank["after the bad step"].items():
            assert torch.equal(tensor, rank["before the bad step"][name]), name


def test_one_rank_is_the_model_itself(worker: ModuleType) -> None:
    model, parallel = worker.make_model(), DDP()
    wrapped = parallel.wrap(model, Mesh(rank=0, world_size=1, local_rank=0, device=torch.device("cpu")))
    inputs_BT, targets_BT = worker.micro_batches(0)[1]
    with parallel.accumulate(wrapped, last=False):
        assert torch.equal(wrapped(inputs_BT, targets_BT)[0], model.loss_sum(inputs_BT, targets_BT)[0])
    assert [id(p) for p in wrapped.parameters()] == [id(p) for p in model.parameters()]
    wrapped.eval()
    assert not model.training


def test_a_bucket_without_room_is_refused_by_name() -> None:
    with pytest.raises(SettingError, match=r"^bucket_bytes: 0 is not allowed; give 1 or more"):
        DDP(bucket_bytes=0)


def test_a_model_whose_loss_takes_no_keys_is_told_how_to(worker: ModuleType) -> None:
    class Old(worker.Transformer):  # type: ignore[name-defined, misc]
        def loss_sum(self, inputs_BT: Tensor, targets_BT: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return super().loss_sum(inputs_BT, targets_BT)

    mesh = Mesh(rank=0, world_size=1, local_rank=0, device=torch.device("cpu"))
    with pytest.raises(ParallelError, match=r"Old\.loss_sum\(inputs_BT.*write loss_sum\(self, .*, keys_B=None\)"):
        DDP().wrap(Old(2, 2, 16, context_len=16, vocab_size=64), mesh)
