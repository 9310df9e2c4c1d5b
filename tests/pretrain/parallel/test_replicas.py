"""A bit that differs on one rank is found, whatever holds it, and the rank and the tensor are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pretrain.mesh import Mesh
from pretrain.parallel import replicas
from pretrain.parallel.replicas import compare_replicas, describe_difference, digest, digest_plainly, reference_digest

WORKER = Path(__file__).with_name("replicas_worker.py")
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool]


@pytest.fixture(scope="module")
def worker(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    return load_module(WORKER)


@pytest.fixture(scope="module", params=[2, 4])
def said(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, run_ranks: Callable[..., str]
) -> tuple[int, dict[str, str]]:
    """How many ranks there were, and fault -> what was raised; every rank says the same."""
    folder = tmp_path_factory.mktemp("replicas")
    run_ranks(WORKER, folder, ranks=request.param)
    each = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(request.param)]
    assert all(other == each[0] for other in each)
    return request.param, each[0]


@pytest.mark.slow
def test_equal_ranks_are_quiet_and_a_flipped_bit_has_rank_and_tensor_named(
    said: tuple[int, dict[str, str]], worker: ModuleType
) -> None:
    ranks, errors = said
    assert errors.pop("none") == ""
    places = {
        "weight, lowest bit": (1, worker.WEIGHT),
        "weight, sign": (0, worker.WEIGHT),
        "moment": (1, worker.MOMENT),
        "counter": (1, worker.COUNTER),
        "guard": (1, worker.WINDOW),
        "swap": (1, worker.WEIGHT),
        "facts": (0, "tokens_seen, lr"),
    }
    for fault, (rank, names) in places.items():
        who = "rank 0 and rank 1 from each other" if ranks == 2 else f"rank {rank} from the 3 others"
        assert errors[fault].startswith(f"step 7: the ranks no longer hold the same: {who} in {names}. Nothing"), fault
    assert "go" in errors["swap"] and "newest checkpoint" in errors["swap"]


@pytest.mark.slow
def test_many_tensors_are_counted_and_without_a_majority_all_ranks_are_named(
    said: tuple[int, dict[str, str]], worker: ModuleType
) -> None:
    ranks, errors = said
    moments = [name for name in worker.make_state()[0] if name.endswith(".exp_avg")]
    assert f" in {', '.join(moments[:4])} and {len(moments) - 4} more. " in errors["all moments"]
    everyone = " and ".join(f"rank {rank}" for rank in range(ranks))
    assert f": {everyone} from each other in {worker.WEIGHT}. " in errors["each its own"]


def random_tensor(dtype: torch.dtype, size: int, seed: int) -> Tensor:
    """Random bits of any meaning, NaN among them."""
    width = torch.empty(0, dtype=dtype).element_size()
    bits = torch.randint(0, 256, (size * width,), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return bits % 2 == 1 if dtype is torch.bool else bits.view(dtype)


@given(dtype=st.sampled_from(DTYPES), size=st.integers(0, 40), seed=st.integers(0, 2**32))
def test_the_digest_is_numpy_s(dtype: torch.dtype, size: int, seed: int) -> None:
    tensor = random_tensor(dtype, size, seed)
    bits = tensor.view(torch.int16) if dtype is torch.bfloat16 else tensor
    assert digest(tensor).item() == digest_plainly(tensor).item() == reference_digest(bits.numpy())


def test_the_digest_does_not_depend_on_chunks_or_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = random_tensor(torch.float32, 35, seed=1).view(5, 7)
    whole = digest(matrix).item()
    monkeypatch.setattr(replicas, "CPU_CHUNK_WORDS", 4)
    assert digest(matrix).item() == whole == reference_digest(matrix.numpy())
    assert digest(matrix.T.contiguous().T).item() == whole
    assert digest(matrix.T).item() != whole
    assert digest(matrix[0, 0]).item() == reference_digest(matrix[0, 0].numpy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_flipped_bit_and_any_swap_changes_the_digest(dtype: torch.dtype) -> None:
    tensor = random_tensor(dtype, 6, seed=2)
    found, bits = {digest(tensor).item()}, tensor.clone().view(torch.uint8)
    for place in range(len(bits)):
        for bit in range(1 if dtype is torch.bool else 8):
            bits[place] ^= 1 << bit
            found.add(digest(bits.view(dtype)).item())
            bits[place] ^= 1 << bit
    assert len(found) == 1 + len(bits) * (1 if dtype is torch.bool else 8)
    ordered = torch.arange(6).to(dtype)
    swaps = [(i, j) for i in range(6) for j in range(i) if ordered[i] != ordered[j]]
    for i, j in swaps:
        swapped = ordered.clone()
        swapped[[i, j]] = ordered[[j, i]]
        assert digest(swapped).item() != digest(ordered).item()
    assert swaps


def test_small_changes_that_cancel_in_a_plain_sum_are_seen() -> None:
    zeros, changed = torch.zeros(8, dtype=torch.int32), torch.tensor([0, 1, -2, 1, 0, 0, 0, 0], dtype=torch.int32)
    assert digest(changed).item() != digest(zeros).item()
    assert digest(-torch.zeros(3)).item() != digest(torch.zeros(3)).item()  # equal numbers, other bits


def test_one_rank_has_nothing_to_compare() -> None:
    compare_replicas({"never read": None}, {}, Mesh(0, 1, 0, torch.device("cpu")), step=1)  # type: ignore[dict-item]


def test_a_majority_names_the_others() -> None:
    found = np.array([[1, 1], [1, 5], [2, 1], [3, 1], [1, 1]])
    text = describe_difference(["a", "b"], found, step=9)
    assert text.startswith(
        "step 9: the ranks no longer hold the same: ranks 2, 3 from the 3 others in a; rank 1 from the 4"
    )
    halves = describe_difference(["a"], np.array([[1], [1], [2], [2]]), step=9)
    assert "ranks 0, 1 and ranks 2, 3 from each other in a." in halves
