"""The copy a save is made from: equal to what was there, in memory of its own, the same memory every time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pretrain.checkpoint.staging import Staging, local_part, state_bytes
from pretrain.types import TrainState

CPU = torch.device("cpu")
Same = Callable[[dict[str, torch.Tensor], dict[str, torch.Tensor]], bool]


@pytest.mark.parametrize("seed", range(20))
def test_copies_are_clones_in_memory_of_their_own(seed: int, same_tensors: Same) -> None:
    generator = torch.Generator().manual_seed(seed)
    dtypes = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
    tensors = {}
    for number in range(12):
        shape = [int(torch.randint(0, 7, (), generator=generator)) for _ in range(number % 4)]
        dtype = dtypes[int(torch.randint(len(dtypes), (), generator=generator))]
        tensor = (torch.randn(shape, generator=generator) * 100).to(dtype)
        tensors[f"t{number}"] = tensor.transpose(0, -1) if number % 2 and tensor.ndim else tensor
    staging, expected = Staging(CPU), {name: tensor.clone() for name, tensor in tensors.items()}
    staged = staging.stage(tensors)
    for tensor in tensors.values():
        tensor.zero_()
    assert same_tensors(staged, expected)
    assert all(copy.is_contiguous() and copy.data_ptr() % copy.element_size() == 0 for copy in staged.values())
    assert staging.size_bytes < state_bytes(tensors) + 64 * len(tensors)


def test_the_memory_is_kept_as_long_as_the_tensors_are_alike(make_state: Callable[..., TrainState]) -> None:
    staging = Staging(CPU)
    first = {name: copy.data_ptr() for name, copy in staging.stage(make_state(1).tensors).items()}
    again = staging.stage(make_state(2).tensors)
    assert {name: copy.data_ptr() for name, copy in again.items()} == first
    assert torch.equal(again["model.weight"], make_state(2).tensors["model.weight"])
    other = make_state(3).tensors | {"model.more": torch.ones(5)}
    assert torch.equal(staging.stage(other)["model.more"], torch.ones(5))
    staging.release()
    assert staging.size_bytes == 0
    assert torch.equal(staging.stage(other)["model.more"], torch.ones(5))


def test_a_parameter_is_copied_without_its_graph() -> None:
    layer = torch.nn.Linear(3, 2)
    staged = Staging(CPU).stage(dict(layer.named_parameters()))
    assert not staged["weight"].requires_grad and torch.equal(staged["weight"], layer.weight.detach())
    assert local_part(layer.weight).data_ptr() == layer.weight.data_ptr()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_copies_lie_in_page_locked_memory_and_are_done_when_it_returns() -> None:
    device = torch.device("cuda", 0)
    tensors = {name: torch.full((4096, 4096), value, device=device) for name, value in (("a", 1.0), ("b", 2.0))}
    staging = Staging(device)
    staged = staging.stage(tensors)
    for tensor in tensors.values():
        tensor.fill_(9.0)
    assert [copy.unique().tolist() for copy in staged.values()] == [[1.0], [2.0]]
    assert all(copy.is_pinned() and copy.device.type == "cpu" for copy in staged.values())
    staging.release()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_memory_that_cannot_be_page_locked_harms_no_later_kernel(capfd: pytest.CaptureFixture[str]) -> None:
    device = torch.device("cuda", 0)
    tensors, staging = {"a": torch.full((4096, 4096), 1.0, device=device)}, Staging(device)
    staging.reserve(tensors)
    staging._lock()  # the driver refuses the same memory a second time
    try:
        assert not staging._locked and "can't be page-locked (CUDA error 712)" in capfd.readouterr().err
        assert (tensors["a"] + 1).sum().item() == 2 * 4096**2  # CUDA's last error is checked after every launch
        assert torch.equal(staging.stage(tensors)["a"], torch.full((4096, 4096), 1.0))
    finally:
        staging._locked = True  # as the first time left it
        staging.release()
