"""How weights, gradients and final logits are spread over the run, from watch.jsonl: a heat map each, one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foundation.page import HeatGroup, Page
from foundation.page.scale import short
from pretrain.metrics.page.looks import looks_with

KEY = "histograms"
MAX_LOOKS = 160  # columns
MAX_CELLS = 400_000  # of all maps: they make some 300 kB
NEAR_ZERO = 0.01  # rows around 0 that never hold more than this share of the values between them become one
NAMES = {"weights": "Weights", "gradients": "Gradients, before clipping", "logits": "Final logits"}
ABOUT = (
    "A column a look at a step, a row a range of values: positive ones above the middle, the largest on top, negative "
    "ones below it, four ranges to a power of ten. The colour tells which share of the values lies in a range. Where "
    "values grow, the bright bands move away from the middle; where they vanish, towards it."
)
Histogram = Mapping[str, Any]


def add_histograms(page: Page, path: Path) -> None:
    """Add the section, where the run has looked at histograms.

    Args:
        path: of watch.jsonl; `histograms` of a line is kind -> layer -> {"edges": (n + 1), "counts": (n)}.
    """
    looks, count = looks_with(path, KEY, MAX_LOOKS)
    groups = _groups(looks)
    if not groups:
        return
    most = max(2, MAX_CELLS // sum(len(group.rows) * len(group.maps) for group in groups))
    if len(looks) > most:
        looks, _ = looks_with(path, KEY, most)
        groups = _groups(looks)
    page.section("Histograms")
    page.text(ABOUT)
    if len(looks) < count:
        page.text(f"Of {count:,} looks {len(looks):,} are shown, evenly spread; all are in {path.name}.")
    page.heat_choice("Share of the values", groups, np.array([look["step"] for look in looks]), "step")


def _groups(looks: Sequence[Mapping[str, Any]]) -> list[HeatGroup]:
    kinds = dict.fromkeys(kind for look in looks for kind in look[KEY])
    groups = [_group(kind, [look[KEY].get(kind, {}) for look in looks]) for kind in kinds]
    return [group for group in groups if group.rows]


def _group(kind: str, looks: Sequence[Mapping[str, Histogram]]) -> HeatGroup:
    """Return the maps of a kind, all with the same rows.

    Args:
        looks: layer -> histogram, at each step.
    """
    layers = list(dict.fromkeys(layer for look in looks for layer in look))
    edges = np.array(sorted({edge for look in looks for found in look.values() for edge in found["edges"]}))
    if len(edges) < 2:
        return HeatGroup(NAMES.get(kind, kind), [], {})
    shares = np.full((len(layers), len(edges) - 1, len(looks)), np.nan)
    for row, layer in enumerate(layers):
        for column, look in enumerate(looks):
            if layer in look:
                shares[row, :, column] = spread(edges, look[layer])
    low, high = near_zero(edges, shares)
    if low < high:
        middle = shares[:, low:high].sum(axis=1, keepdims=True)
        shares = np.concatenate([shares[:, :low], middle, shares[:, high:]], axis=1)
        edges = np.concatenate([edges[: low + 1], edges[high:]])
    rows = [f"{_edge(one)} to {_edge(other)}" for one, other in itertools.pairwise(edges.tolist())]
    return HeatGroup(NAMES.get(kind, kind), rows[::-1], dict(zip(layers, shares[:, ::-1], strict=True)))


def _edge(value: float) -> str:
    return short(float(f"{value:.2g}"))


def spread(edges: np.ndarray, found: Histogram) -> np.ndarray:
    """Return (bins,) float64, the share of a histogram's values in each bin; NaN where it holds none.

    Args:
        edges: (bins + 1,) rising, the histogram's own among them, which follow each other.
    """
    counts = np.asarray(found["counts"], dtype=np.float64)
    if not counts.sum():
        return np.full(len(edges) - 1, np.nan)
    shares = np.zeros(len(edges) - 1)
    np.add.at(shares, np.searchsorted(edges, found["edges"][:-1]), counts / counts.sum())
    return shares


def near_zero(edges: np.ndarray, shares: np.ndarray) -> tuple[int, int]:
    """Return the first and the end of the bins around 0 that become one: what they hold is seen nowhere.

    That around 0 itself is always among them; what it holds doesn't count: zeros are no small values.

    Args:
        edges: (bins + 1,) rising. shares: (maps, bins, looks).
    """
    below = int(np.searchsorted(edges, 0.0))
    low, high = (below - 1, below) if 0 < below < len(edges) else (below, below)
    held = np.zeros((shares.shape[0], shares.shape[2]))
    while low > 0 and high < len(edges) - 1:
        held = held + np.nan_to_num(shares[:, low - 1] + shares[:, high])
        if held.max(initial=0.0) > NEAR_ZERO:
            break
        low, high = low - 1, high + 1
    return low, high
