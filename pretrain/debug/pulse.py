"""What a look says amid long work: how far it is, every few seconds; and where Python gets a word in to hear a stop."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from foundation.progress import LINE_EVERY_S

Beat = Callable[[str], None]  # takes how far the work is, in words; empty: as it was


class Pulse:
    """Shows that a rung is at work.

    Args:
        shows: whether to print; of several ranks one does.
    """

    def __init__(self, shows: bool = False) -> None:
        self._shows = shows
        self.begin("")

    def begin(self, name: str) -> None:
        """Take the name of the rung that begins."""
        self._name, self._told = name, ""
        self._began_s = self._shown_s = time.monotonic()

    def beat(self, told: str = "") -> None:
        """Say that the work goes on: every few seconds it is a line on stderr.

        Args:
            told: how far it is.
        """
        self._told, now_s = told or self._told, time.monotonic()
        if self._shows and now_s - self._shown_s >= LINE_EVERY_S:
            self._shown_s = now_s
            parts = [part for part in (self._told, f"{now_s - self._began_s:.0f} s") if part]
            print(f"preflight: {self._name}: {', '.join(parts)}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def beating(model: nn.Module, device: torch.device, beat: Beat) -> Iterator[None]:
    """Beat between the modules of each pass inside this block, forward and backward.

    On a CPU alone: there a pass may take minutes, and in a backward no line of Python runs that could hear a signal.
    Other devices compute while the host goes on.

    Args:
        model: not compiled. device: of its weights. beat: called with nothing new to tell.
    """

    def backward(_: Tensor) -> None:
        beat("")

    def forward(module: nn.Module, inputs: object, output: object) -> None:
        beat("")
        for each in tree_leaves(output):
            if isinstance(each, Tensor) and each.grad_fn is not None:  # a leaf would keep the hook
                each.register_hook(backward)  # type: ignore[no-untyped-call]

    modules = list(model.modules()) if device.type == "cpu" else []
    handles = [module.register_forward_hook(forward) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
