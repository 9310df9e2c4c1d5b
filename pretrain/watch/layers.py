"""Which layer a parameter or a module belongs to, told by its name alone: so it works for any model."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

RECURRENT = re.compile(r"_l(\d+)(_reverse)?$")  # behind the names of torch.nn.LSTM's and GRU's parameters


def layer_of(name: str) -> str:
    """Return the layer: the name up to its first number (`blocks.3`), else the first part (`token_embedding`).

    The parameters of torch's recurrent modules say their layer at the end: `lstm.weight_ih_l1` is of `lstm.l1`.

    Args:
        name: full name of a parameter or module.
    """
    parts = name.split(".")
    for place, part in enumerate(parts):
        if part.isdigit():
            return ".".join(parts[: place + 1])
    if found := RECURRENT.search(parts[-1]):
        return ".".join([*parts[:-1], f"l{found[1]}"])
    return parts[0]


def is_layer(module_name: str) -> bool:
    """Return whether a module is a layer as a whole."""
    return bool(module_name) and layer_of(module_name) == module_name


def norms_by_layer(names: Sequence[str], norms: Iterable[float]) -> dict[str, float]:
    """Return layer -> the L2 norm over all of its parameters, from that of each."""
    squares: dict[str, list[float]] = {}
    for name, norm in zip(names, norms, strict=True):
        squares.setdefault(layer_of(name), []).append(norm * norm)
    return {layer: math.sqrt(math.fsum(of_layer)) for layer, of_layer in squares.items()}


def means_by_layer(names: Sequence[str], shares: Iterable[float], sizes: Sequence[int]) -> dict[str, float]:
    """Return layer -> the mean over all of its parameters' elements, from that of each parameter.

    Args:
        shares: the mean over each parameter's elements. sizes: their number.
    """
    sums: dict[str, list[float]] = {}
    for name, share, size in zip(names, shares, sizes, strict=True):
        of_layer = sums.setdefault(layer_of(name), [0.0, 0.0])
        of_layer[0] += share * size
        of_layer[1] += size
    return {layer: total / size for layer, (total, size) in sums.items()}
