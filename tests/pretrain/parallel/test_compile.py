from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from pretrain.model.transformer import Transformer
from pretrain.parallel.compile import apply_compile
from pretrain.parallel.errors import ParallelError

CPU = torch.device("cpu")


def test_without_a_compiler_the_key_and_the_way_out_are_named() -> None:
    program = """
        import torch
        from pretrain.parallel.errors import ParallelError
        from pretrain.parallel.compile import apply_compile
        try:
            apply_compile(torch.nn.Linear(1, 1), torch.device("cpu"))
        except ParallelError as error:
            print(error)
    """
    environment = {**os.environ, "PATH": "/nowhere", "CXX": "/nowhere/g++"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment, capture_output=True, text=True, check=True
    )
    assert "trainer.compile: true, but torch.compile needs a C++ compiler" in done.stdout
    assert "set trainer.compile=false" in done.stdout


@pytest.mark.slow
def test_a_compiled_model_computes_the_same_and_keeps_its_names() -> None:
    torch.manual_seed(0)
    plain, compiled = (Transformer(2, 2, 32, context_len=16, vocab_size=128) for _ in range(2))
    try:
        apply_compile(compiled, CPU)
    except ParallelError:
        pytest.skip("no C++ compiler here")
    assert list(compiled.state_dict()) == list(plain.state_dict())
    ids_BT, targets_BT = torch.randint(0, 128, (2, 2, 16))
    targets_BT[0, :5] = -100
    losses = [model.loss_sum(ids_BT, targets_BT) for model in (plain, compiled)]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[1], losses[0])
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(compiled.get_parameter(name).grad, parameter.grad, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
def test_a_model_without_blocks_is_compiled_whole() -> None:
    layer = nn.Linear(3, 2)
    x = torch.randn(4, 3)
    expected = layer(x)
    try:
        torch.testing.assert_close(apply_compile(layer, CPU)(x), expected)
    except ParallelError:
        pytest.skip("no C++ compiler here")
