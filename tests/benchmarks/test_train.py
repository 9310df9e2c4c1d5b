"""What the table of throughput rests on: the same work on both sides, and honest ratios."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from pretrain.parallel.precision import Precision

SIZES = {"num_layers": 2, "num_heads": 2, "d_model": 32, "context_len": 16, "dropout": 0.0}


@pytest.fixture(scope="module")
def train(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("train")


def work(train: ModuleType, **changes: Any) -> Any:
    values = {"model": "m", "sizes": SIZES, "vocab_size": 128, "seq_len": 16, "batch_size": 6, "micro_batch_size": 2}
    rest = {"device": torch.device("cpu"), "precision": Precision("float32"), "compile": False}
    return train.Work(**{**values, **rest, **changes})


def test_a_step_s_tokens_are_the_same_however_it_is_cut(train: ModuleType) -> None:
    whole, cut = work(train, micro_batch_size=6).batches(3), work(train).batches(3)
    assert [len(inputs) for inputs, _ in cut] == [2, 2, 2]
    for place in (0, 1):
        assert torch.equal(torch.cat([pair[place] for pair in cut]), whole[0][place])
    inputs, targets = whole[0]
    assert inputs.shape == (6, 16)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])


def test_our_step_is_the_same_however_it_is_cut(train: ModuleType) -> None:
    cut, whole = train.Ours(work(train)), train.Ours(work(train, micro_batch_size=6))
    start = {name: tensor.clone() for name, tensor in whole.model.state_dict().items()}
    cut.step(work(train).batches(3))
    whole.step(work(train, micro_batch_size=6).batches(3))
    for name, tensor in whole.model.state_dict().items():
        assert not torch.equal(tensor, start[name])
        torch.testing.assert_close(cut.model.state_dict()[name], tensor, rtol=0, atol=2e-5)


def test_the_ratio_is_the_median_of_the_pairs(train: ModuleType) -> None:
    row = train.Row("x", ours=[100.0, 50.0, 90.0], theirs=[50.0, 40.0, 60.0], work=work(train))
    assert row.cells() == ["x", "90 (50 to 100)", "50 (40 to 60)", "1.50", "-", "-"]  # a CPU has no known peak


@pytest.mark.parametrize("part", ["", "position_embedding.weight", "blocks.1.attention.out.weight"])
def test_two_sides_that_differ_in_any_part_are_refused(train: ModuleType, part: str) -> None:
    ours, theirs = train.Ours(work(train)), train.Ours(work(train))
    parameters = dict(theirs.model.named_parameters())
    with torch.no_grad():
        for mine, other in zip(ours.model.parameters(), parameters.values(), strict=True):
            mine.add_(0.1 * torch.randn_like(mine))
            other.copy_(mine)
        if part:
            parameters[part].zero_()
    embeddings = ours.model.token_embedding.weight, theirs.model.token_embedding.weight
    expected = pytest.raises(SystemExit, match="not the same work") if part else contextlib.nullcontext()
    with expected:
        train.require_same(ours, theirs, embeddings, work(train).batches(1)[0])
