"""torch.compile, a block at a time: nearly the speed of the whole graph, a fraction of its start."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from pretrain.parallel.errors import ParallelError

AnyModel = TypeVar("AnyModel", bound=nn.Module)

REPEATED = "blocks"  # equal layers: compiled once, run num_layers times
SINGLE = ("token_loss",)  # and what is worth it outside of them: most of a small model's activations pass through here


def apply_compile(model: AnyModel, device: torch.device) -> AnyModel:
    """Compile the model's blocks and loss in place, and return it; nothing is compiled before the first call.

    Names of parameters stay as they are, and so do checkpoints.

    Args:
        model: a Module with equal layers in `blocks`; without them it is compiled whole.
        device: where it runs.
    Raises:
        ParallelError: on a CPU without a C++ compiler.
    Source: "regional compilation" in PyTorch's recipes; torchtitan compiles blocks for the same reason.
    """
    if device.type == "cpu":
        _check_cpp_compiler()
    parts = dict(model.named_children())
    if REPEATED not in parts:
        model.compile(dynamic=False)
        return model
    for part in [*parts[REPEATED].children(), *(parts[name] for name in SINGLE if name in parts)]:
        part.compile(dynamic=False)  # shapes are fixed in training; the last, shorter batch of an evaluation recompiles
    return model


def _check_cpp_compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError) as error:
        raise ParallelError(
            "trainer.compile: true, but torch.compile needs a C++ compiler on a CPU and there is none; "
            "install one (on Debian and Ubuntu: apt install g++), name it in CXX, or set trainer.compile=false"
        ) from error
