"""What a forward pass over a batch shows, a few sequences after the other: no logits of a whole batch ever exist."""

from __future__ import annotations

import torch
from torch import Tensor

from pretrain.seats import Model
from pretrain.watch.forward import look_into
from pretrain.watch.histograms import counts_of
from pretrain.watch.logits import logit_figures, logit_sums

TOKENS_AT_ONCE = 8192  # of a vocabulary of 50,304 their logits are 1.6 GB; GPUs want large kernels


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
        self._weights: list[int] = []
        self._parts: dict[str, list[Tensor]] = {}
        self.activations: list[str] = []
        self.attention: list[str] = []

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
        if self.activations:
            found["activations"] = joined_activations(parts["activations"], self._weights)
        if self.attention:
            found["attention"] = joined_attention(parts["attention"], self._weights)
        if self._edges is not None:
            found["logit_counts"] = torch.stack(parts["logit_counts"]).sum(0)
        return found

    def _take_part(self, inputs_BT: Tensor, targets_BT: Tensor) -> None:
        seen = look_into(self._model, inputs_BT)  # of this call alone: dropped before the next part
        self._weights.append(len(inputs_BT))
        self.activations, self.attention = list(seen.activations), list(seen.attention)
        found = {"logits": logit_sums(seen.logits_BTV, targets_BT)}
        if seen.activations:
            found["activations"] = torch.stack(list(seen.activations.values()))
        if seen.attention:
            found["attention"] = torch.stack(list(seen.attention.values()))
        if self._edges is not None:
            found["logit_counts"] = counts_of(seen.logits_BTV, self._edges)
        for name, tensor in found.items():
            self._parts.setdefault(name, []).append(tensor)


def joined_activations(parts_L3: list[Tensor], weights: list[int]) -> Tensor:
    """Return (layers, 3), mean, standard deviation and largest absolute value over all parts.

    Args:
        parts_L3: those of each part. weights: how much of the whole each one is.
    """
    if len(parts_L3) == 1:
        return parts_L3[0]
    shares = [weight / sum(weights) for weight in weights]
    means_L = torch.stack([share * part[:, 0] for share, part in zip(shares, parts_L3, strict=True)]).sum(0)
    squares = [part[:, 1].square() + (part[:, 0] - means_L).square() for part in parts_L3]
    variances_L = torch.stack([share * square for share, square in zip(shares, squares, strict=True)]).sum(0)
    peaks_L = torch.stack([part[:, 2] for part in parts_L3]).amax(0)
    return torch.stack([means_L, variances_L.sqrt(), peaks_L], dim=1)


def joined_attention(parts_L2: list[Tensor], weights: list[int]) -> Tensor:
    """Return (layers, 2), largest score and mean entropy over all parts."""
    shares = [weight / sum(weights) for weight in weights]
    peaks_L = torch.stack([part[:, 0] for part in parts_L2]).amax(0)
    entropies_L = torch.stack([share * part[:, 1] for share, part in zip(shares, parts_L2, strict=True)]).sum(0)
    return torch.stack([peaks_L, entropies_L], dim=1)
