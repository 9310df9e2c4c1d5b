from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from pretrain.model.bigram import Bigram
from pretrain.model.lstm import LSTM
from pretrain.model.transformer import Transformer
from pretrain.parallel.compile import apply_compile, capability_of, choose_compile, missing_for_compile
from pretrain.parallel.errors import ParallelError
from pretrain.seats import Model

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)  # whose tools can be looked for without one


def test_without_a_compiler_the_key_and_the_way_out_are_named() -> None:
    program = """
        import torch
        from pretrain.parallel.errors import ParallelError
        from pretrain.parallel.compile import compile_as_set
        try:
            compile_as_set(torch.nn.Linear(1, 1), True, torch.device("cpu"))
        except ParallelError as error:
            print(error)
    """
    environment = {**os.environ, "PATH": "/nowhere", "CXX": "/nowhere/g++"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment, capture_output=True, text=True, check=True
    )
    assert "trainer.compile: true, but torch.compile on cpu needs a C++ compiler" in done.stdout
    assert "set trainer.compile=false" in done.stdout


@pytest.fixture
def gpu_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that Triton asks for: a C compiler, the only one in sight, and Python's header."""
    for name in ("gcc", "Python.h"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(sysconfig, "get_paths", lambda *_, **__: {"include": str(tmp_path)})
    return tmp_path


def test_on_a_gpu_triton_s_tools_are_enough(gpu_tools: Path) -> None:
    assert missing_for_compile(CUDA) == ""


@pytest.mark.parametrize(("tool", "told"), [("gcc", "C compiler"), ("Python.h", "Python.h")])
def test_on_a_gpu_what_triton_lacks_is_named_before_the_first_step(gpu_tools: Path, tool: str, told: str) -> None:
    (gpu_tools / tool).unlink()
    assert told in missing_for_compile(CUDA)
    with pytest.raises(ParallelError, match=rf"^trainer.compile: true, .*{told}.*trainer.compile=false"):
        choose_compile(True, CUDA)


def test_by_default_a_gpu_that_can_t_compile_does_not_and_says_why(gpu_tools: Path) -> None:
    assert choose_compile(None, CUDA) == (True, "compiled")
    (gpu_tools / "gcc").unlink()
    compiles, told = choose_compile(None, CUDA)
    assert not compiles and told.startswith("not compiled: that needs a C compiler and there is none")
    assert choose_compile(False, CUDA) == choose_compile(None, CPU) == (False, "not compiled")


@pytest.mark.parametrize(("capability", "compiles"), [((6, 1), False), ((7, 0), True), ((7, 5), True), (None, True)])
def test_a_gpu_older_than_triton_compiles_for_is_told_before_the_first_step(
    gpu_tools: Path, capability: tuple[int, int] | None, compiles: bool
) -> None:
    if compiles:
        assert choose_compile(None, CUDA, capability) == choose_compile(True, CUDA, capability) == (True, "compiled")
        return
    needed = "a GPU of compute capability 7.0 or above and this one has 6.1"
    assert choose_compile(None, CUDA, capability) == (False, f"not compiled: that needs {needed} (take another GPU)")
    with pytest.raises(ParallelError, match=rf"^trainer.compile: true, .* needs {needed} .*set trainer.compile=false$"):
        choose_compile(True, CUDA, capability)
    assert choose_compile(False, CUDA, capability) == (False, "not compiled")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_has_the_capability_that_torch_names() -> None:
    assert capability_of(CUDA) == torch.cuda.get_device_capability(CUDA)


def test_what_is_no_cuda_gpu_has_no_capability() -> None:
    assert capability_of(CPU) is None


def test_on_a_gpu_a_compiler_that_is_named_has_to_be_there(gpu_tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/nowhere/cc")
    assert "C compiler" in missing_for_compile(CUDA)


SIZES = {"d_model": 32, "context_len": 16, "vocab_size": 128}


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: Transformer(2, 2, **SIZES, dropout=0.2),
        lambda: LSTM(2, **SIZES, dropout=0.2),
        lambda: Bigram(**SIZES),
    ],
)
def test_a_compiled_model_computes_the_same_drops_the_same_and_keeps_its_names(make: Callable[[], Model]) -> None:
    torch.manual_seed(0)
    plain, compiled = make(), make()
    if missing_for_compile(CPU):
        pytest.skip("no C++ compiler here")
    apply_compile(compiled, CPU)
    assert compiled.token_loss._compiled_call_impl is not None
    assert list(compiled.state_dict()) == list(plain.state_dict())
    ids_BT, targets_BT = torch.randint(0, 128, (2, 2, 16))
    targets_BT[0, :5] = -100
    losses = [model.loss_sum(ids_BT, targets_BT, torch.tensor([5, -3]))[0] for model in (plain, compiled)]
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
    if missing_for_compile(CPU):
        pytest.skip("no C++ compiler here")
    torch.testing.assert_close(apply_compile(layer, CPU)(x), expected)
