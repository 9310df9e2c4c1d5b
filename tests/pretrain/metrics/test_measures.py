"""What a step measures by source and of its gradients, against loops in Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pretrain.metrics.measures import largest_gradient, peaks, signed_hash, sum_by_source, targets_by_source
from pretrain.types import IGNORE, Batch


def batches(num_sources: int, seed: int = 0) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    made = []
    for number in range(3):
        targets = torch.randint(0, 9, (4, 6), generator=generator)
        targets[targets < 3] = IGNORE
        sources = torch.randint(0, num_sources, (4,), generator=generator) if num_sources > 1 else None
        made.append(Batch(targets, targets, np.arange(4), torch.arange(4), sources, hash=2**63 + 5 * number))
    return made


@pytest.mark.parametrize("num_sources", [1, 2, 5])
def test_targets_and_nats_are_those_of_a_plain_loop(num_sources: int) -> None:
    found = batches(num_sources)
    values_N = torch.randn(12, generator=torch.Generator().manual_seed(1))
    targets, nats, place = [0] * num_sources, [0.0] * num_sources, 0
    for batch in found:
        for row in range(4):
            source = 0 if batch.sources_B is None else int(batch.sources_B[row])
            targets[source] += sum(target != IGNORE for target in batch.targets_BT[row].tolist())
            nats[source] += float(values_N[place])
            place += 1
    assert targets_by_source(found, num_sources).tolist() == targets
    if num_sources > 1:
        assert sum_by_source(values_N, found, num_sources).tolist() == pytest.approx(nats, abs=1e-6)


def test_a_nan_stays_with_its_source() -> None:
    found = batches(2)
    values_N = torch.ones(12)
    values_N[0] = torch.nan
    poisoned = int(found[0].sources_B[0])  # type: ignore[index]
    assert torch.isnan(sum_by_source(values_N, found, 2)).tolist() == [source == poisoned for source in range(2)]


def test_hashes_add_up_over_ranks_as_int64_does() -> None:
    one, other = batches(1), batches(1, seed=2)
    sums = torch.tensor([signed_hash(one), signed_hash(other)]).sum().item() % 2**64
    assert sums == sum(batch.hash for batch in one + other) % 2**64


@pytest.mark.parametrize("at_once", [True, False])
def test_peaks_are_the_largest_absolute_values(at_once: bool) -> None:
    generator = torch.Generator().manual_seed(4)
    tensors = [torch.randn(size, generator=generator) for size in (1, 7, 300)] + [-torch.ones(3)]
    assert torch.equal(peaks(tensors, at_once), torch.tensor([tensor.abs().max() for tensor in tensors]))


def test_the_largest_gradient_has_the_number_of_its_parameter() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    names = [name for name, _ in model.named_parameters()]
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator) if name != "0.weight" else None
    peaks = {name: float(p.grad.abs().max()) for name, p in model.named_parameters() if p.grad is not None}
    value, place = largest_gradient(model)
    assert (names[int(place)], value.item()) == max(peaks.items(), key=lambda item: item[1])
    model[1].bias.grad[2] = -torch.inf
    assert largest_gradient(model)[0].item() == torch.inf
    model[0].bias.grad[0] = torch.nan
    value, place = largest_gradient(model)
    assert torch.isnan(value) and names[int(place)] == "0.bias"
