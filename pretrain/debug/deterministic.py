"""trainer.deterministic=true: the operation that can't be deterministic, by its own name and that of its module."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from foundation.errors import ConfigError

REFUSAL = re.compile(r"^(?P<operation>\S+) does not have a deterministic implementation")  # torch's, in Context.cpp
TORCH = str(Path(torch.__file__).parent)


class NotDeterministic(ConfigError):
    """An operation has no kernel whose sums are reproducible."""

    restart_helps = False  # it has none the next time either


@contextmanager
def nondeterminism_named(model: nn.Module) -> Iterator[None]:
    """Turn torch's refusal of an operation, which names neither setting nor module, into an error that does.

    Args:
        model: whose modules have names.
    Raises:
        NotDeterministic: in place of torch's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        found = REFUSAL.match(str(error))
        if found is None:
            raise
        module, line = where_of(error, model)
        raise NotDeterministic(
            f"trainer.deterministic: true, but {found['operation']} has no deterministic kernel on this device; it is "
            f"called by {module}, {line}. Take another operation there, or set trainer.deterministic=false, which "
            "gives up that a run repeats bit for bit"
        ) from error


def where_of(error: BaseException, model: nn.Module) -> tuple[str, str]:
    """Return the innermost module that the error came through, in words, and `file:line: code` of what isn't torch's.

    The backward of torch's own operations runs in no module's code: then the line is that of the pass.
    """
    names = {id(module): name or type(module).__name__ for name, module in model.named_modules()}
    module, line = "no module's own code: in the backward pass of one", ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        owner, file = frame.f_locals.get("self"), frame.f_code.co_filename
        if id(owner) in names:
            module = f"the module {names[id(owner)]}"
        if not file.startswith(TORCH):
            line = f"{file}:{number}: {linecache.getline(file, number).strip()}"
    return module, line
