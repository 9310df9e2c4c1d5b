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
from pretrain.types import IGNORE
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
    outputs: list[Tensor] = []

    def of_layer(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            found = output[0] if isinstance(output, tuple) else output
            if isinstance(found, Tensor) and found.is_floating_point():
                activations[name] = activation_figures(found)
                outputs.append(found)

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
    states = [output for output in outputs if output.dim() == 3 and output.size(-1) != logits_BTV.size(-1)]
    return Seen(logits_BTV, activations, attention, states[-1] if states else None)


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


def attention_figures(q_BHTK: Tensor, k_BHTK: Tensor) -> Tensor:
    """Return (2,) float32 of causal attention: largest score q k / sqrt(K), mean entropy of a query's weights in nats.

    Args:
        q_BHTK, k_BHTK: (B, H, T, K) queries and keys, as they are multiplied.
    """
    with torch.autocast(q_BHTK.device.type, enabled=False):
        scores_BHTT = (q_BHTK.float() @ k_BHTK.float().transpose(-1, -2)) * q_BHTK.size(-1) ** -0.5
    future_TT = torch.ones(scores_BHTT.shape[-2:], dtype=torch.bool, device=scores_BHTT.device).triu_(1)
    scores_BHTT = scores_BHTT.masked_fill(future_TT, -torch.inf)
    log_weights_BHTT = scores_BHTT.log_softmax(-1)
    entropy_BHT = -(log_weights_BHTT.exp() * log_weights_BHTT.masked_fill(future_TT, 0.0)).sum(-1)
    return torch.stack([scores_BHTT.amax(), entropy_BHT.mean()])


def logit_figures(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Return (4,) float32, means over the positions with a target: entropy in nats, probability of the likeliest token
    and of the target; and the largest absolute logit.

    Args:
        logits_BTV: (B, T, V) float32; rows that stand for no token are among them, as in the loss.
        targets_BT: (B, T) int64, IGNORE where masked.
    """
    log_probs_BTV = logits_BTV.log_softmax(-1)
    is_target_BT = targets_BT != IGNORE
    entropy_BT = -(log_probs_BTV.exp() * log_probs_BTV).sum(-1)
    target_BT1 = torch.where(is_target_BT, targets_BT, 0).unsqueeze(-1)
    shown = torch.stack(
        [entropy_BT, log_probs_BTV.amax(-1).exp(), log_probs_BTV.gather(-1, target_BT1).squeeze(-1).exp()]
    )
    means = torch.where(is_target_BT, shown, 0.0).sum((1, 2)) / is_target_BT.sum()
    low, high = torch.aminmax(logits_BTV)
    return torch.cat([means, torch.maximum(-low, high).unsqueeze(0)])
