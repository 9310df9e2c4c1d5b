"""What a forward pass over a batch shows, a few sequences after the other: no logits of a whole batch ever exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pretrain.seats import Model
from pretrain.watch.forward import look_into
from pretrain.watch.histograms import counts_of
from pretrain.watch.logits import logit_figures, logit_sums

TOKENS_AT_ONCE = 8192  # of a vocabulary of 50,304 their logits are 1.6 GB; GPUs want large kernels


class Part(NamedTuple):
    """What a layer showed in a part of a batch: sequences, and its figures on the device."""

    weight: int
    figures_F: Tensor


class Passes:
    """Takes a batch in parts and tells the figures of the whole.

    Args:
        model: the bare model. edges: of histograms of the logits; None for none.
        tokens_at_once: of a part, at least one sequence.
    Attributes:
        activations, attention: layers that showed some, in the order of the figures.
    """

    def __init__(self, model: Model, edges: Tensor | None = None, tokens_at_once: int = TOKENS_AT_ONCE) -> None:
        self._model, self._edges, self._tokens_at_once = model, edges, tokens_at_once
        self._parts: dict[str, list[Tensor]] = {}
        # by layer: a part need not call every one
        self._activations: dict[str, list[Part]] = {}
        self._attention: dict[str, list[Part]] = {}

    @property
    def activations(self) -> list[str]:
        return list(self._activations)

    @property
    def attention(self) -> list[str]:
        return list(self._attention)

    def take(self, inputs_BT: Tensor, targets_BT: Tensor) -> None:
        """Look at a batch: (B, T) int64 each."""
        rows = max(1, self._tokens_at_once // inputs_BT.size(1))
        for part in zip(torch.split(inputs_BT, rows), torch.split(targets_BT, rows), strict=True):
            self._take_part(*part)

    def tensors(self) -> dict[str, Tensor]:
        """Return on the device `logits` (4,) of `logit_figures`, and where there are such ones `activations`
        (layers, 3), `attention` (layers, 2) of `Seen`, `logit_counts` (bins,) int64."""
        parts = self._parts
        found = {"logits": logit_figures(torch.stack(parts["logits"]))}
        if self._activations:
            found["activations"] = torch.stack([joined_activations(layer) for layer in self._activations.values()])
        if self._attention:
            found["attention"] = torch.stack([joined_attention(layer) for layer in self._attention.values()])
        if self._edges is not None:
            found["logit_counts"] = torch.stack(parts["logit_counts"]).sum(0)
        return found

    def _take_part(self, inputs_BT: Tensor, targets_BT: Tensor) -> None:
        seen = look_into(self._model, inputs_BT)  # of this call alone: dropped before the next part
        for parts, figures in ((self._activations, seen.activations), (self._attention, seen.attention)):
            for layer, figures_F in figures.items():
                parts.setdefault(layer, []).append(Part(len(inputs_BT), figures_F))
        found = {"logits": logit_sums(seen.logits_BTV, targets_BT)}
        if self._edges is not None:
            found["logit_counts"] = counts_of(seen.logits_BTV, self._edges)
        for name, tensor in found.items():
            self._parts.setdefault(name, []).append(tensor)


def joined_activations(parts: Sequence[Part]) -> Tensor:
    """Return (3,), mean, standard deviation and largest absolute value of a layer over the parts that called it."""
    if len(parts) == 1:
        return parts[0].figures_F
    mean = _mean([part.figures_F[0] for part in parts], parts)
    squares = [part.figures_F[1].square() + (part.figures_F[0] - mean).square() for part in parts]
    return torch.stack([mean, _mean(squares, parts).sqrt(), torch.stack([part.figures_F[2] for part in parts]).amax()])


def joined_attention(parts: Sequence[Part]) -> Tensor:
    """Return (2,), largest score and mean entropy of a layer over the parts that called it."""
    peak = torch.stack([part.figures_F[0] for part in parts]).amax()
    return torch.stack([peak, _mean([part.figures_F[1] for part in parts], parts)])


def _mean(values: Sequence[Tensor], parts: Sequence[Part]) -> Tensor:
    """Return the mean of a value a part; the weights stay on the host, whose copies a GPU would wait for."""
    whole = sum(part.weight for part in parts)
    return torch.stack([part.weight / whole * value for part, value in zip(parts, values, strict=True)]).sum()
