"""torch.compile, a block at a time: nearly the speed of the whole graph, a fraction of its start."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path
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
        ParallelError: the machine lacks what compiling takes.
    Source: "regional compilation" in PyTorch's recipes; torchtitan compiles blocks for the same reason.
    """
    if missing := missing_for_compile(device):
        raise ParallelError(
            f"trainer.compile: true, but torch.compile on {device.type} needs {missing}; or set trainer.compile=false"
        )
    parts = dict(model.named_children())
    if REPEATED not in parts:
        model.compile(dynamic=False)
        return model
    for part in [*parts[REPEATED].children(), *(parts[name] for name in SINGLE if name in parts)]:
        part.compile(dynamic=False)  # shapes are fixed in training; an evaluation has its own: compiled once more
    return model


def choose_compile(setting: bool | None, device: torch.device) -> tuple[bool, str]:
    """Return whether to compile, and what is said of it.

    Args:
        setting: trainer.compile; None compiles where the device is cuda and nothing is missing.
        device: where the model runs.
    """
    missing = missing_for_compile(device) if setting is None and device.type == "cuda" else ""
    compiles = device.type == "cuda" and not missing if setting is None else setting
    told = "compiled" if compiles else "not compiled"
    return compiles, f"{told}: that needs {missing}" if missing else told


def missing_for_compile(device: torch.device) -> str:
    """Return what compiling needs and the machine lacks, and how to get it; empty where nothing is missing.

    Inductor and Triton look for it at the first step only, where its absence ends in a hundred lines of theirs.
    """
    return _missing_for_triton() if device.type == "cuda" else _missing_for_cpp()


def _missing_for_triton() -> str:
    """As triton/runtime/build.py looks for what its launchers are built with."""
    named = os.environ.get("CC")
    if not any(shutil.which(name) for name in ([named] if named else ["gcc", "clang"])):
        return "a C compiler and there is none (on Debian and Ubuntu: apt install gcc; or name it in CC)"
    default = sysconfig.get_default_scheme()
    scheme = "posix_prefix" if default == "posix_local" else default  # as Triton does
    if not (Path(sysconfig.get_paths(scheme=scheme)["include"]) / "Python.h").is_file():
        return "Python.h and it is not there (on Debian and Ubuntu: apt install python3-dev)"
    return ""


def _missing_for_cpp() -> str:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError):
        return "a C++ compiler and there is none (on Debian and Ubuntu: apt install g++; or name it in CXX)"
    return ""
