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
from pretrain.pieces import NONE

AnyModel = TypeVar("AnyModel", bound=nn.Module)

REPEATED = "blocks"  # equal layers: compiled once, run num_layers times
VOLTA = (7, 0)  # the first CUDA capability that Triton compiles for; `CudaInterface.is_triton_capable` of torch asks it
COMPILED = "compiled"  # what is said of a model that is
SINGLE = ("token_loss",)  # and what is worth it outside of them: most of a small model's activations pass through here


def compile_as_set(
    model: nn.Module, setting: bool | None, device: torch.device, plain_pieces: frozenset[str] = NONE
) -> str:
    """Compile a model in place where `trainer.compile` asks for it; return what is said of it.

    Args:
        model: as `apply_compile` takes it.
        setting: trainer.compile.
        device: where the model runs.
        plain_pieces: of the model, which run as they are written: compiled, they would be fused again.
    Raises:
        ParallelError: it is true, and the machine lacks what compiling takes, or pieces run plainly.
    """
    if plain_pieces and setting:
        raise ParallelError(
            f"trainer.compile: true, but trainer.reference has {', '.join(sorted(plain_pieces))} run as written, which "
            "compiling would fuse; set trainer.compile=false, or trainer.reference=false"
        )
    if plain_pieces:
        return "not compiled: trainer.reference runs pieces of the model as they are written"
    compiles, told = choose_compile(setting, device, capability_of(device))
    if compiles:
        apply_compile(model, device)
    return told


def apply_compile(model: AnyModel, device: torch.device) -> AnyModel:
    """Compile the model's blocks and loss in place, and return it; nothing is compiled before the first call.

    Names of parameters stay as they are, and so do checkpoints.

    Args:
        model: a Module with equal layers in `blocks`, a loss in `token_loss`, or one of the two; without either it is
            compiled whole.
        device: where it runs.
    Raises:
        ParallelError: the machine lacks what compiling takes.
    Source: "regional compilation" in PyTorch's recipes; torchtitan compiles blocks for the same reason.
    """
    choose_compile(True, device, capability_of(device))
    parts = dict(model.named_children())
    blocks = parts[REPEATED].children() if REPEATED in parts else ()
    for part in [*blocks, *(parts[name] for name in SINGLE if name in parts)] or [model]:
        part.compile(dynamic=False)  # shapes are fixed in training; an evaluation has its own: compiled once more
    return model


def choose_compile(
    setting: bool | None, device: torch.device, capability: tuple[int, int] | None = None
) -> tuple[bool, str]:
    """Return whether to compile, and what is said of it.

    Args:
        setting: trainer.compile; None compiles where the device is cuda and nothing is missing.
        device: where the model runs.
        capability: as `capability_of` gives it.
    Raises:
        ParallelError: `setting` is true and something is missing.
    """
    if setting is False or device.type == "meta" or (setting is None and device.type != "cuda"):
        return False, "not compiled"
    missing = missing_for_compile(device, capability)
    if setting and missing:
        raise ParallelError(
            f"trainer.compile: true, but torch.compile on {device.type} needs {missing}; or set trainer.compile=false"
        )
    return not missing, f"not compiled: that needs {missing}" if missing else COMPILED


def missing_for_compile(device: torch.device, capability: tuple[int, int] | None = None) -> str:
    """Return what compiling needs and the machine lacks, and how to get it; empty where nothing is missing.

    Inductor and Triton look for it at the first step only, where its absence ends in a hundred lines of theirs.

    Args:
        device: where the model runs.
        capability: as `capability_of` gives it.
    """
    if device.type != "cuda":
        return _missing_for_cpp()
    if capability is not None and capability < VOLTA:
        least, found = (".".join(map(str, version)) for version in (VOLTA, capability))
        return f"a GPU of compute capability {least} or above and this one has {found} (take another GPU)"
    return _missing_for_triton()


def capability_of(device: torch.device) -> tuple[int, int] | None:
    """Return a CUDA GPU's compute capability; None for what has none, AMD's GPUs among them."""
    if device.type != "cuda" or torch.version.hip is not None:
        return None
    return torch.cuda.get_device_capability(device)


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
