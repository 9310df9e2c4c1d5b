"""What was looked at in each layer over the run, from watch.jsonl, as heat maps."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foundation.page import Curve, Page
from pretrain.json_lines import read_lines

# figures in the order in which they are shown, and what they are; others stand behind, by their own name
TITLES = {
    "grad_norm": "Gradient norm, before clipping",
    "weight_norm": "Weight norm",
    "update_ratio": "Norm of the update over that of the weights",
    "zero_grad_frac": "Share of gradient elements that are zero",
    "activation_mean": "Activations: mean",
    "activation_std": "Activations: standard deviation",
    "activation_max": "Activations: largest magnitude",
    "attention_logit_max": "Attention: largest logit",
    "attention_entropy": "Attention: entropy, nats",
}
# title of a chart -> its unit, and figure of the final logits -> what it is
LOGITS = {
    "Entropy of the predictions": ("nats", {"entropy": "entropy"}),
    "Probabilities of the predictions": (
        "probability",
        {"top1_prob": "the likeliest token", "target_prob": "the target"},
    ),
    "Largest magnitude of a final logit": ("logit", {"logit_max": "largest magnitude"}),
}


@dataclass(frozen=True, slots=True)
class Layers:
    """Figures of layers over time.

    Attributes:
        steps: (n,) of the looks. layers: names in the order of the model.
        figures: name -> (layers, n) float64; NaN where a layer has none, infinite where it is not finite.
        whole: figure of the whole model -> (n,) float64.
    """

    steps: np.ndarray
    layers: list[str]
    figures: dict[str, np.ndarray]
    whole: dict[str, np.ndarray]


def read_layers(path: Path) -> Layers:
    """Read `layers` of the lines, {layer: {figure: value}}, and `logits`, {figure: value}; the rest is passed over."""
    steps: array[float] = array("d")
    columns: dict[tuple[str, str], array[float]] = {}
    for line in read_lines(path):
        layers = line.get("layers")
        if not (isinstance(layers, dict) and isinstance(line.get("step"), int)):
            continue
        for layer, of_layer in (*layers.items(), ("", line.get("logits"))):
            for figure, value in of_layer.items() if isinstance(of_layer, dict) else ():
                column = columns.setdefault((figure, layer), array("d"))
                column.extend([np.nan] * (len(steps) - len(column)))
                column.append(_value(value))
        steps.append(line["step"])
    for column in columns.values():
        column.extend([np.nan] * (len(steps) - len(column)))
    names = [name for name in dict.fromkeys(layer for _, layer in columns) if name]
    whole = {figure: np.array(column) for (figure, layer), column in columns.items() if not layer}
    by_layer = {pair: column for pair, column in columns.items() if pair[1]}
    return Layers(np.array(steps), names, _figures(by_layer, names, len(steps)), whole)


def add_layers(page: Page, found: Layers) -> None:
    """Add a heat map of each figure, those of layers that have it."""
    if not len(found.steps):
        return
    page.section("Layers")
    page.text("A row a layer, from the model's first on top; red is not finite. Of several looks the largest is shown.")
    for figure in (*(name for name in TITLES if name in found.figures), *(found.figures.keys() - TITLES.keys())):
        values = found.figures[figure]
        there = ~np.isnan(values).all(1)
        rows = [name for name, is_there in zip(found.layers, there, strict=True) if is_there]
        page.heat_map(TITLES.get(figure, figure), rows, found.steps, values[there], "step")
    _add_logits(page, found)


def _add_logits(page: Page, found: Layers) -> None:
    """Add what the final logits say: the known figures in charts of their own, any other by its name."""
    if not found.whole:
        return
    page.section("Predictions")
    page.text("What the final logits say of the next token: means over the tokens of the sequences that are looked at.")
    for title, (unit, names) in LOGITS.items():
        lines = [Curve(label, found.steps, found.whole[name]) for name, label in names.items() if name in found.whole]
        if lines:
            page.curves(lines, "step", unit, title=title)
    known = {name for _, names in LOGITS.values() for name in names}
    for figure in found.whole.keys() - known:
        page.curves([Curve(figure, found.steps, found.whole[figure])], "step", figure, title=f"Final logits: {figure}")


def _figures(columns: dict[tuple[str, str], array[float]], names: list[str], count: int) -> dict[str, np.ndarray]:
    absent = np.full(count, np.nan)
    return {
        figure: np.stack([np.array(columns[figure, name]) if (figure, name) in columns else absent for name in names])
        for figure in dict.fromkeys(figure for figure, _ in columns)
    }


def _value(value: Any) -> float:
    """Return a number; infinite where it is not finite, which a line spells as a text."""
    if isinstance(value, int | float):
        return float(value)
    return np.inf if value in ("NaN", "Infinity", "-Infinity") else np.nan
