"""debug=nan: the first operation whose result is not finite, in the module, on the line and with the inputs it had.

A step is watched operation by operation, below autograd, so forward, backward and what is computed again in it are
seen alike. In a backward the node of the graph that is at work tells, by its number, in which module it was made, and
by what anomaly mode kept, on which line.
"""

from __future__ import annotations

import linecache
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from foundation.errors import GroundworkError
from pretrain.debug.eager import eager
from pretrain.seats import Debug, Model

TORCH = str(Path(torch.__file__).parent)
GIVEN = re.compile(r"fill|full|where|scalar_tensor|scatter")  # they write a number that is given, such as a mask's -inf
UNWRITTEN = re.compile(r"(new_)?empty|resize_")  # whatever lay in the memory
# Fused kernels whose first result is the answer, the others scratch memory
SCRATCH_BEHIND = re.compile(r"(_scaled_dot_product_(?!.*backward).*|_cudnn_rnn|mkldnn_rnn_layer|miopen_rnn)$")


class NotFinite(GroundworkError):
    """A number is NaN or infinite."""

    restart_helps = False  # the same step would meet the same number


class NoDebug(Debug):
    """Watches nothing."""

    def watching(self, place: Callable[[], str]) -> ExitStack:
        return ExitStack()


class NanHunt(Debug):
    """Ends the run at the first operation whose result is NaN, or infinite though its inputs were not.

    Every operation waits for the device and nothing is compiled: a step takes several times as long.

    Args:
        model: whose forward and backward are watched.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    @contextmanager
    def watching(self, place: Callable[[], str]) -> Iterator[None]:
        """Watch a forward and backward pass.

        Args:
            place: returns of which step and samples, in words.
        Raises:
            NotFinite: names pass, module, operation, line, the range of each input, and the place; or the parameter
                that wasn't finite before it.
        """
        require_finite_state(self._model, place)
        modules = Modules(self._model)
        with ExitStack() as stack:
            stack.enter_context(eager(self._model))  # what is compiled would be one operation, of no line
            stack.enter_context(torch.autograd.set_detect_anomaly(True, check_nan=False))
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "Error detected in")  # all of the stack of the line that is named here
            stack.enter_context(modules)
            stack.enter_context(Watch(modules, place))
            yield


def require_finite_state(model: nn.Module, place: Callable[[], str]) -> None:
    """Raise where a parameter or buffer is not finite already.

    Args:
        place: returns before which step's forward pass, in words.
    Raises:
        NotFinite: names it.
    """
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise NotFinite(
                f"debug: before the forward pass {name} is not finite: {described(tensor)}; the update before did "
                "it, or a checkpoint that was restored: look at optim.lr, optim.eps and the moments, or resume from an "
                f"earlier checkpoint\n  place: {place()}"
            )


class Span(NamedTuple):
    """Numbers of the graph's nodes that were made within one call of a module: first up to, but without, stop."""

    first: int
    stop: int
    name: str


class Modules:
    """Within its context, knows in which module the forward pass is, and in which one a node of the graph was made."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._entered: list[tuple[str, int]] = []
        self._spans: list[Span] = []

    def __enter__(self) -> Modules:
        self._handles = []
        for name, module in self._model.named_modules():
            self._handles += [
                module.register_forward_pre_hook(lambda *_, name=name: self._enter(name)),
                module.register_forward_hook(lambda *_: self._leave(), always_call=True),
            ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    @property
    def current(self) -> str:
        """The name of the innermost module that is at work; empty outside of all."""
        return self._entered[-1][0] if self._entered else ""

    def of_node(self, number: int) -> str:
        """Return the name of the innermost module that made the node of this number; empty where none did."""
        around = [span for span in self._spans if span.first <= number < span.stop]
        return min(around, key=lambda span: span.stop - span.first).name if around else ""

    def _enter(self, name: str) -> None:
        self._entered.append((name, next_node()))

    def _leave(self) -> None:
        name, first = self._entered.pop()
        self._spans.append(Span(first, next_node(), name))


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Looks at the result of every operation.

    Args:
        modules: that know where the pass is. place: returns of which step and samples it is, in words.
    """

    def __init__(self, modules: Modules, place: Callable[[], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._modules, self._place = modules, place

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if func.namespace != "aten" or func.is_view or UNWRITTEN.match(name):
            return func(*args, **kwargs)
        given = [tensor for tensor in tree_leaves((args, kwargs)) if _is_float(tensor)]
        told = [described(tensor) for tensor in given] if func._schema.is_mutable else None  # before it is written over
        result = func(*args, **kwargs)
        leaves = [tensor for tensor in tree_leaves(result) if _is_float(tensor)]
        leaves = leaves[:1] if SCRATCH_BEHIND.match(name) else leaves
        if any(not tensor.isfinite().all() for tensor in leaves) and self._is_wrong(name, given, leaves):
            raise NotFinite(self._told(func, told or [described(tensor) for tensor in given], leaves))
        return result

    def _is_wrong(self, name: str, given: list[Tensor], result: list[Tensor]) -> bool:
        """Return whether a result that isn't finite is no mask's infinity that was put there, or went on from there."""
        if any(tensor.isnan().any() for tensor in result):
            return True
        return not GIVEN.search(name) and not any(tensor.isinf().any() for tensor in given)

    def _told(self, func: Any, given: list[str], result: list[Tensor]) -> str:
        node: Any = torch._C._current_autograd_node()
        if node is None:
            where, module, line = "forward", self._modules.current, line_of_frames()
        else:
            module = self._modules.of_node(node._sequence_nr())
            where, line = f"backward of {node.name()}", line_of_traceback(node.metadata.get("traceback_", []))
        inputs = "\n".join(f"  input {number}: {text}" for number, text in enumerate(given))
        results = "\n".join(f"  result: {described(tensor)}" for tensor in result)
        return (
            f"debug: the first result that is not finite, in the {where}\n"
            f"  module: {module or 'none: outside of all'}\n  operation: {func}\n  line: {line}\n{inputs}\n{results}\n"
            f"  place: {self._place()}\n"
            "look at what made the inputs so large or small there; spike=skip would have left this step out"
        )


def next_node() -> int:
    """Return the number that the next node of this thread's graph will have."""
    return int(torch.autograd._get_sequence_nr())  # type: ignore[attr-defined]


def described(tensor: Tensor) -> str:
    """Return shape, dtype, the range of the finite values, and how many are not."""
    text = f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
    finite = tensor[tensor.isfinite()]
    if finite.numel():
        text += f", {finite.min().item():.4g} to {finite.max().item():.4g}"
    counts = {"NaN": tensor.isnan(), "inf": tensor == torch.inf, "-inf": tensor == -torch.inf}
    text += "".join(f", {found.sum().item()} {name}" for name, found in counts.items() if found.any())
    return text


def line_of_frames() -> str:
    """Return `file:line: code` of the innermost frame that is neither torch's nor this file's."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith((TORCH, __file__)):
        frame = frame.f_back
    code = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    return f"{frame.f_code.co_filename}:{frame.f_lineno}: {code}"


def line_of_traceback(frames: list[str]) -> str:
    """Return the same of formatted frames, outermost first, as anomaly mode keeps them of a node's making."""
    for text in reversed(frames):
        found = re.match(r'\s*File "(?P<file>.+)", line (?P<line>\d+), in .*\n\s*(?P<code>.*)', text)
        if found and not found["file"].startswith((TORCH, __file__)):
            return f"{found['file']}:{found['line']}: {found['code']}"
    return "not known: no forward line made this node"


def _is_float(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()
