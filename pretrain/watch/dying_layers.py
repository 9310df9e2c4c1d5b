"""Layers whose gradient stays near zero: named once, on the console and in the journal."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from foundation.text import one_line
from pretrain.journal import DYING_LAYER
from pretrain.json_lines import JsonLines, lines_from_end, parse_line, read_lines
from pretrain.run_files import JOURNAL, WATCH


class DyingLayers:
    """Takes the lines of watch.jsonl in turn, on rank 0.

    What earlier starts saw and named it takes from the run's files, so that a run that was killed and went on names the
    same layers at the same steps as one that was not.

    Args:
        near_zero: a layer's gradient norm below this part of the whole gradient's is near zero.
        num_looks: in a row, after which the layer is named.
        run_dir: of the run.
    """

    def __init__(self, near_zero: float, num_looks: int, run_dir: Path) -> None:
        self._near_zero, self._num_looks = near_zero, num_looks
        self._journal, self._looks = JsonLines(run_dir / JOURNAL), run_dir / WATCH
        self._in_row: dict[str, int] | None = None  # None until the files have been read
        self._named: set[str] = set()

    def take(self, line: dict[str, Any]) -> None:
        """Take one line; name each layer that has been near zero for so long now."""
        if self._in_row is None:
            self._recall(line["step"])
        for layer, norm, whole in self._count(line):
            if layer not in self._named:
                self._named.add(layer)
                self._name(line["step"], layer, norm, whole)

    def forget(self) -> None:
        """Forget the looks: the run goes back to an earlier step, and its files with it."""
        self._in_row, self._named = None, set()

    def _count(self, line: dict[str, Any]) -> list[tuple[str, float, float]]:
        """Count one look; return the layers that have been near zero for so long: name, norm, the whole gradient's."""
        assert self._in_row is not None
        norms, whole = _norms_of(line)
        if not 0 < whole < math.inf:  # it may be NaN
            return []
        for layer, norm in norms.items():
            self._in_row[layer] = self._in_row.get(layer, 0) + 1 if norm <= self._near_zero * whole else 0
        return [(layer, norm, whole) for layer, norm in norms.items() if self._in_row[layer] >= self._num_looks]

    def _name(self, step: int, layer: str, norm: float, whole: float) -> None:
        line = {"event": DYING_LAYER, "step": step, "layer": layer, "looks": self._num_looks}
        with contextlib.suppress(OSError):  # a full disk: the run itself says so
            self._journal.append(line | {"grad_norm": norm, "whole_grad_norm": whole}, durable=True)
        text = (
            f"step {step}: {layer} learnt nothing for {self._num_looks} looks: its gradient norm is "
            f"{norm:.1e}, that of the whole model {whole:.1e}; is it cut off from the loss, or saturated?"
        )
        print(one_line(text), file=sys.stderr, flush=True)

    def _recall(self, step: int) -> None:
        """Take up what stands in the files of before this step: named layers, and the last looks."""
        self._in_row = {}
        self._named = {line["layer"] for line in read_lines(self._journal.path) if line.get("event") == DYING_LAYER}
        for seen in reversed(list(islice(self._looks_before(step), self._num_looks))):
            self._count(seen)

    def _looks_before(self, step: int) -> Iterator[dict[str, Any]]:
        """Yield the looks that count, the newest first: of a long run the file is gigabytes, and the loop waits."""
        for raw in lines_from_end(self._looks):
            # most of the others are projections, which are long
            seen = parse_line(raw) if b'"layers"' in raw else None
            if seen and "layers" in seen and seen["step"] < step and 0 < _norms_of(seen)[1] < math.inf:
                yield seen


def _norms_of(line: dict[str, Any]) -> tuple[dict[str, float], float]:
    """Return layer -> gradient norm, and that of the whole gradient."""
    norms = {layer: of_layer["grad_norm"] for layer, of_layer in line["layers"].items() if "grad_norm" in of_layer}
    norms = {layer: math.nan if isinstance(norm, str) else norm for layer, norm in norms.items()}  # in a file
    return norms, math.hypot(*norms.values())
