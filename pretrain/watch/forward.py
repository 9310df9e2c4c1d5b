"""A forward pass that is looked into: activations of each layer, attention, final states, logits.

It is a pass of its own, over a few sequences, without gradients and dropout, and the hooks are there only while it
runs. The training's own pass shows none of this: a compiled block doesn't call hooks, attention and loss are fused and
never hold scores or logits. So nothing of training changes, and the cost is that of a few sequences.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.seats import Attends, Model
from pretrain.watch.attention import attention_figures
from pretrain.watch.layers import is_layer, layer_of


@dataclass(slots=True)
class Seen:
    """What a pass showed, on the device.

    Attributes:
        logits_BTV: (B, T, V) float32.
        activations: layer -> (3,) float32, of its output: mean, standard deviation, largest absolute value.
        attention: layer -> (2,) float32: largest score of a query and a key that it sees, mean entropy in nats.
        states_BTD: (B, T, D), the output of the last layer that is no logits; None where no layer has such a one.
    """

    logits_BTV: Tensor
    activations: dict[str, Tensor] = field(default_factory=dict)
    attention: dict[str, Tensor] = field(default_factory=dict)
    states_BTD: Tensor | None = None


@torch.no_grad()
def look_into(model: Model, inputs_BT: Tensor) -> Seen:
    """Return what a pass over these inputs shows; model, gradients and random states are as before.

    Args:
        model: the bare model. inputs_BT: (B, T) int64 ids.
    """
    activations: dict[str, Tensor] = {}
    attention: dict[str, Tensor] = {}
    states: dict[int, Tensor] = {}  # by width: the layer that comes last is the state, but for the logits

    def of_layer(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            found = output[0] if isinstance(output, tuple) else output
            if isinstance(found, Tensor) and found.is_floating_point():
                activations[name] = activation_figures(found)
                if found.dim() == 3:
                    states.pop(found.size(-1), None)  # one a width is held, and the newest stands last
                    states[found.size(-1)] = found

        return hook

    def of_attention(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            assert isinstance(module, Attends)
            attention[layer_of(name)] = attention_figures(*module.queries_and_keys(inputs[0]))

        return hook

    with contextlib.ExitStack() as stack:
        stack.enter_context(_as_in_use(model, inputs_BT.device))
        for name, module in model.named_modules():
            if is_layer(name):
                stack.callback(module.register_forward_hook(of_layer(name)).remove)
            attends = isinstance(module, Attends)
            if attends:
                stack.callback(module.register_forward_pre_hook(of_attention(name)).remove)
        logits_BTV = model(inputs_BT).float()
    states.pop(logits_BTV.size(-1), None)
    return Seen(logits_BTV, activations, attention, list(states.values())[-1] if states else None)


@contextlib.contextmanager
def _as_in_use(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Without dropout, uncompiled; after it modes, compiled calls and random states are what they were."""
    modules = list(model.modules())
    kept = [(module.training, module._compiled_call_impl) for module in modules]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            for module in modules:
                module.training, module._compiled_call_impl = False, None
            yield
        finally:
            for module, (training, compiled) in zip(modules, kept, strict=True):
                module.training, module._compiled_call_impl = training, compiled


def activation_figures(output: Tensor) -> Tensor:
    """Return (3,) float32: mean, standard deviation over all elements, largest absolute value."""
    values = output.float()
    std, mean = torch.std_mean(values, correction=0)
    low, high = torch.aminmax(values)
    return torch.stack([mean, std, torch.maximum(-low, high)])
