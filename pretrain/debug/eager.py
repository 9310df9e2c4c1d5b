"""Running what is compiled as it is written, where a check has shapes of its own or looks at single operations."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn


def eager(model: nn.Module) -> AbstractContextManager[Any]:
    """Return a context in which nothing of the model runs compiled; where nothing is, it does nothing.

    Args:
        model: with or without modules that torch.compile was applied to.
    """
    if not any(module._compiled_call_impl is not None for module in model.modules()):
        return contextlib.nullcontext()  # the stance would import the compiler, which takes seconds
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance
