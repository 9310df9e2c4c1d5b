"""One look into a step: what is measured on the device before and after its update, and the line that comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pretrain.run_files import WATCH
from pretrain.seats import Model
from pretrain.types import Batch, StepResult
from pretrain.watch.histograms import NUM_BINS, counts_of, edges_on, trimmed
from pretrain.watch.layers import layer_of, means_by_layer, norms_by_layer
from pretrain.watch.parameters import Update, sample, zero_shares
from pretrain.watch.passes import Passes
from pretrain.watch.pending import Found

ACTIVATIONS = ("activation_mean", "activation_std", "activation_max")
ATTENTION = ("attention_logit_max", "attention_entropy")
LOGITS = ("entropy", "top1_prob", "target_prob", "logit_max")


class Look:
    """Of one step. Made before the update; `tensors` grow as it goes.

    A trained parameter that took no part in the step has no gradient. It counts as one of zeros, as in the step's own
    norms, and is in no histogram of gradients.

    Args:
        model: with gradients. step: steps finished with this one. most: elements of a parameter that are sampled; None
            for all.
    Attributes:
        tensors: name -> what was measured, on the device.
    """

    def __init__(self, model: Model, step: int, most: int | None) -> None:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]  # those of `trained_names`
        self._model, self._step, self._most = model, step, most
        self._names: list[str] = [name for name, _ in named]
        self._parameters: list[nn.Parameter] = [p for _, p in named]
        self._activations: list[str] = []
        self._attention: list[str] = []
        self.tensors: dict[str, Tensor] = {}
        self._update: Update | None = Update(self._parameters, most)

    def at_gradients(self, result: StepResult) -> None:
        """Measure weights and gradients."""
        self.tensors["grad_norms"] = result.grad_norms_P
        self.tensors["weight_norms"] = torch.stack(torch._foreach_norm(list[Tensor](self._parameters))).detach().float()
        self.tensors["zero_shares"] = zero_shares(self._gradients(), self._parameters[0].device)

    def at_forward(self, batch: Batch, sequences: int | None, histograms: bool) -> None:
        """Measure a pass over the first sequences of a batch.

        Args:
            histograms: of the logits, too.
        """
        edges = edges_on(batch.inputs_BT.device) if histograms else None
        passes = Passes(self._model, edges)
        passes.take(batch.inputs_BT[:sequences], batch.targets_BT[:sequences])
        self._activations, self._attention = passes.activations, passes.attention
        self.tensors |= passes.tensors()

    def at_histograms(self) -> None:
        """Count weights and gradients by size."""
        edges = edges_on(self._parameters[0].device)
        weights = [sample(parameter, self._most) for parameter in self._parameters]
        self.tensors["weight_counts"] = torch.stack([counts_of(values, edges) for values in weights])
        nothing = torch.zeros(NUM_BINS, dtype=torch.int64, device=edges.device)
        self.tensors["gradient_counts"] = torch.stack(
            [nothing if values is None else counts_of(values, edges) for values in self._gradients()]
        )

    def at_update(self) -> None:
        """Measure how far the weights were moved; called after the update."""
        assert self._update is not None
        self.tensors["moved"], self.tensors["moved_from"] = self._update.norms()
        self._update = None  # the copies of the weights need not live until the line is made

    def lines(self, found: Found) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the line of watch.jsonl, from the tensors once they are on the host."""
        sizes = [parameter.numel() for parameter in self._parameters]
        by_layer = {
            "grad_norm": norms_by_layer(self._names, found["grad_norms"].tolist()),
            "weight_norm": norms_by_layer(self._names, found["weight_norms"].tolist()),
            "update_ratio": self._ratios(found),
            "zero_grad_frac": means_by_layer(self._names, found["zero_shares"].tolist(), sizes),
        }
        for key, layers, fields in (
            ("activations", self._activations, ACTIVATIONS),
            ("attention", self._attention, ATTENTION),
        ):
            for place, field in enumerate(fields if layers else ()):
                by_layer[field] = dict(zip(layers, found[key][:, place].tolist(), strict=True))
        line: dict[str, Any] = {"step": self._step, "layers": turned(by_layer)}
        line["logits"] = {name: short(value) for name, value in zip(LOGITS, found["logits"].tolist(), strict=True)}
        if "weight_counts" in found:
            line["histograms"] = self._histograms(found, sizes)
        yield WATCH, line

    def _gradients(self) -> list[Tensor | None]:
        return [None if p.grad is None else sample(p.grad, self._most) for p in self._parameters]

    def _ratios(self, found: Found) -> dict[str, float]:
        moved = norms_by_layer(self._names, found["moved"].tolist())
        weights = norms_by_layer(self._names, found["moved_from"].tolist())
        return {layer: norm / weights[layer] if weights[layer] else float("nan") for layer, norm in moved.items()}

    def _histograms(self, found: Found, sizes: list[int]) -> dict[str, Any]:
        """Return kind -> layer -> histogram; counts of a sample are scaled up to the whole parameter."""
        scales = [size / len(sample(p, self._most)) for size, p in zip(sizes, self._parameters, strict=True)]
        histograms: dict[str, Any] = {}
        for kind in ("weight", "gradient"):
            sums: dict[str, Any] = {}
            for name, counts, scale in zip(self._names, found[f"{kind}_counts"], scales, strict=True):
                layer = layer_of(name)
                sums[layer] = sums.get(layer, np.zeros(len(counts))) + counts * scale
            histograms[f"{kind}s"] = {layer: trimmed(counts) for layer, counts in sums.items()}
        return histograms | {"logits": {"all": trimmed(found["logit_counts"])}}


def turned(by_field: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return layer -> field -> value from field -> layer -> value, six digits of each."""
    layers: dict[str, dict[str, float]] = {}
    for field, values in by_field.items():
        for layer, value in values.items():
            layers.setdefault(layer, {})[field] = short(value)
    return layers


def short(value: float) -> float:
    """Return a number with six significant digits."""
    return float(f"{value:.6g}")
