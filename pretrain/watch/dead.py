"""Layers whose gradient stays near zero: named once."""

from __future__ import annotations

import math
import sys
from typing import Any

from foundation.text import one_line


class DeadLayers:
    """Takes the lines of watch.jsonl in turn.

    Args:
        near_zero: a layer's gradient norm below this part of the whole gradient's is near zero.
        num_looks: in a row, after which the layer is named.
    """

    def __init__(self, near_zero: float, num_looks: int) -> None:
        self._near_zero, self._num_looks = near_zero, num_looks
        self._in_row: dict[str, int] = {}
        self._named: set[str] = set()

    def take(self, line: dict[str, Any]) -> None:
        """Take one line; warn on stderr of each layer that has been near zero for so long now."""
        norms = {layer: of_layer["grad_norm"] for layer, of_layer in line["layers"].items() if "grad_norm" in of_layer}
        whole = math.hypot(*norms.values())
        if not (math.isfinite(whole) and whole > 0):
            return
        for layer, norm in norms.items():
            self._in_row[layer] = self._in_row.get(layer, 0) + 1 if norm <= self._near_zero * whole else 0
            if self._in_row[layer] >= self._num_looks and layer not in self._named:
                self._named.add(layer)
                text = (
                    f"step {line['step']}: {layer} learnt nothing for {self._num_looks} looks: its gradient norm is "
                    f"{norm:.1e}, that of the whole model {whole:.1e}; is it cut off from the loss, or saturated?"
                )
                print(one_line(text), file=sys.stderr, flush=True)
