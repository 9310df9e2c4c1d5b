from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from pretrain.debug.eager import eager
from pretrain.parallel.compile import missing_for_compile


def test_where_nothing_is_compiled_the_compiler_is_not_even_imported() -> None:
    program = """
        import sys
        from torch import nn
        from pretrain.debug.eager import eager
        with eager(nn.Linear(2, 2)):
            pass
        print("torch._dynamo" in sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.slow
def test_what_is_compiled_runs_as_it_is_written() -> None:
    if missing_for_compile(torch.device("cpu")):
        pytest.skip("no C++ compiler here")
    compiling: list[bool] = []

    class Layer(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            compiling.append(torch.compiler.is_compiling())
            return x + 1

    model = nn.Sequential(Layer())
    model[0].compile(dynamic=False)
    with eager(model):
        assert model(torch.zeros(2)).tolist() == [1, 1]
    assert compiling == [False]
