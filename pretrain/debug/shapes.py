"""What goes through the model: shape and dtype of every layer's output, of one micro batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foundation.progress import human
from foundation.text import number_of
from pretrain.debug.loss import bad_weights
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning

SLOW = (torch.float64, torch.complex64, torch.complex128)
MAX_ROWS = 40


@dataclass(slots=True)
class Layer:
    """One module as it was called.

    Attributes:
        name: in the model. kind: of its class. outputs: shape and dtype of each tensor it returned, in words.
        num_params: of its own, those of the modules inside not counted.
        dtypes: of the outputs. is_finite: whether all of them were, so far as floats go.
        repeats: neighbours of the same make that follow it.
    """

    name: str
    kind: str
    outputs: str
    num_params: int
    dtypes: frozenset[torch.dtype]
    is_finite: bool
    repeats: int = 0


class Shapes(Rung):
    """The model as a table."""

    name = "shapes"

    def check(self, subject: Subject) -> Finding:
        model, batch = subject.run.model, subject.sample
        with seen(model) as layers, torch.no_grad(), subject.computing():
            model.loss_sum(batch.inputs_BT, batch.targets_BT, batch.keys_B)
        num_params = sum(parameter.numel() for parameter in model.parameters())
        flops = model.flops_per_token(subject.run.plan.seq_len)
        figure = (
            f"{human(num_params)} parameters, {human(flops, 'FLOP')} a token ({model.flops_formula}), "
            f"{number_of(len(layers), 'layer')} called"
        )
        return self.found(figure, judged(layers) + bad_weights(subject), table(folded(layers)))


@contextlib.contextmanager
def seen(model: nn.Module) -> Iterator[list[Layer]]:
    """Give a list that takes every module below `model` that is called inside this block, in the order they end."""
    layers: list[Layer] = []
    hooks = []
    for name, module in model.named_modules():
        if module is not model:

            def note(module: nn.Module, _: object, output: object, name: str = name) -> None:
                layers.append(layer_of(name, module, output))

            hooks.append(module.register_forward_hook(note))
    try:
        yield layers
    finally:
        for hook in hooks:
            hook.remove()


def layer_of(name: str, module: nn.Module, output: object) -> Layer:
    """Return a call of a module."""
    tensors = list(tensors_in(output))
    told = ", ".join(f"{tuple(each.shape)} {str(each.dtype).removeprefix('torch.')}" for each in tensors)
    is_finite = all(bool(torch.isfinite(each).all()) for each in tensors if each.is_floating_point())
    own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
    return Layer(name, type(module).__name__, told, own, frozenset(each.dtype for each in tensors), is_finite)


def tensors_in(output: object) -> Iterator[Tensor]:
    """Yield the tensors of what a module returned, however nested."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict):
        yield from (tensor for each in output.values() for tensor in tensors_in(each))
    elif isinstance(output, list | tuple):
        yield from (tensor for each in output for tensor in tensors_in(each))


def judged(layers: list[Layer]) -> list[Problem]:
    """Return what is wrong with the outputs."""
    problems = []
    if broken := [layer.name for layer in layers if not layer.is_finite]:
        problems.append(stop(f"the output of {broken[0]} is the first that is not finite, of {len(broken)}"))
    if slow := [layer.name for layer in layers if layer.dtypes & set(SLOW)]:
        problems.append(
            warning(f"{slow[0]} computes in {layers_dtype(layers, slow[0])}, which GPUs do slowly: cast it")
        )
    return problems


def layers_dtype(layers: list[Layer], name: str) -> str:
    """Return the slow dtype that a layer returns, in words."""
    found = next(dtype for layer in layers if layer.name == name for dtype in layer.dtypes if dtype in SLOW)
    return str(found).removeprefix("torch.")


def folded(layers: list[Layer]) -> list[Layer]:
    """Return the layers with equal blocks told once: `blocks.1.x` is left out where `blocks.0.x` was the same."""
    kept: dict[tuple[str, str, str, int], Layer] = {}
    for layer in layers:
        key = (without_numbers(layer.name), layer.kind, layer.outputs, layer.num_params)
        if key in kept:
            kept[key].repeats += 1
        else:
            kept[key] = Layer(*(getattr(layer, field) for field in Layer.__slots__))
    return list(kept.values())


def without_numbers(name: str) -> str:
    """Return a module's name with its numbers taken out: `blocks.3.norm` and `blocks.4.norm` are of one make."""
    return ".".join("" if part.isdigit() else part for part in name.split("."))


def table(layers: list[Layer]) -> list[str]:
    """Return the lines of a table."""
    shown = layers[:MAX_ROWS]
    names = [f"{layer.name} x {layer.repeats + 1}" if layer.repeats else layer.name for layer in shown]
    wide = max(map(len, names), default=0), max((len(layer.kind) for layer in shown), default=0)
    outputs = max((len(layer.outputs) for layer in shown), default=0)
    lines = [
        f"{name:<{wide[0]}}  {layer.kind:<{wide[1]}}  {layer.outputs:<{outputs}}  "
        f"{human(layer.num_params) if layer.num_params else '':>8}".rstrip()
        for name, layer in zip(names, shown, strict=True)
    ]
    return [*lines, f"and {len(layers) - MAX_ROWS} more"] if len(layers) > MAX_ROWS else lines
