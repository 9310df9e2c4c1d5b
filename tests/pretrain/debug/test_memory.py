"""Memory by part: counted and measured against what torch itself holds, and what doesn't fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from pretrain.debug.memory import Memory, Parts, bytes_of, counted, judged, keeping
from pretrain.debug.rung import Finding, Subject, Verdict
from pretrain.mesh import Mesh
from pretrain.run import Run


def test_gpt_tiny_fits(make: Callable[..., Run], look: Callable[..., Finding]) -> None:
    found = look(Memory(), make())
    assert found.verdict is Verdict.OK, found
    weights = float(re.search(r"weights ([\d.]+) MB", found.details[0])[1])
    assert f"gradients {weights} MB" in found.details[0]
    assert float(re.search(r"moments ([\d.]+) MB", found.details[0])[1]) == pytest.approx(2 * weights, abs=0.2)
    # 128 rows x 512 words in float32
    assert found.details[0].endswith("logits 262.1 kB")


def test_the_state_is_counted_to_the_byte(small: Callable[..., Run], tmp_path: Path) -> None:
    run = small()
    parts, num_params = counted(Subject(run, tmp_path)), sum(each.numel() for each in run.model.parameters())
    assert (parts.weights, parts.gradients) == (4 * num_params, 4 * num_params)
    assert parts.moments == 8 * num_params + 4 * len(list(run.model.parameters()))


def test_activations_are_what_autograd_keeps() -> None:
    parts, layer, x = Parts(), nn.Linear(64, 32, bias=False), torch.randn(8, 64)
    with keeping(parts, [id(layer.weight)], vocab_size=48):
        torch.tanh(layer(x)).sum()
    assert parts.activations == 4 * (8 * 64 + 8 * 32)  # inputs of the product, outputs of tanh
    assert parts.logits == 0
    head = nn.Linear(32, 48)
    with keeping(parts, [id(head.weight)], vocab_size=48):
        torch.log_softmax(head(torch.randn(8, 32)), dim=-1)
    assert parts.logits == 4 * 8 * 48


def test_shared_memory_counts_once() -> None:
    tensor = torch.zeros(10)
    assert bytes_of([tensor, tensor.view(2, 5), torch.zeros(3)]) == 40 + 12


def test_what_does_not_fit_is_a_stop(
    worker: ModuleType, small: Callable[..., Run], look: Callable[..., Finding]
) -> None:
    run = small()
    crowded = Mesh(0, 1, 0, torch.device("cpu"), local_size=10**9)  # ranks that share the machine
    object.__setattr__(run, "mesh", crowded)
    found = look(Memory(), run)
    assert found.verdict is Verdict.STOP
    assert "set trainer.micro_batch_size=1" in found.details[0]


@pytest.mark.parametrize(
    ("needed", "is_eager", "expected"),
    [(50, True, []), (95, True, [Verdict.WARNING]), (101, True, [Verdict.STOP]), (101, False, [Verdict.WARNING])],
)
def test_tight_is_a_warning(needed: int, is_eager: bool, expected: list[Verdict]) -> None:
    assert [problem.verdict for problem in judged(needed, 100, 8, is_eager)] == expected
