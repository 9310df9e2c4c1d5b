"""metrics.jsonl as columns."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foundation.page import Clock
from pretrain.json_lines import read_lines
from pretrain.metrics.epochs import Epoch, Epochs
from pretrain.metrics.lines import NON_FINITE, STEP_FIELDS, with_floats

STEPS = frozenset(STEP_FIELDS)
EPOCHS = "epochs"
NO_COLUMNS = (EPOCHS, "source_tokens")  # of each source: what is summed up by epoch is not drawn
LAST_STEPS = 50  # one step's loss is that of a few sequences: too uncertain beside the loss on the held-out text


@dataclass(frozen=True, slots=True)
class History:
    """The metrics of a run as columns; an absent value is NaN.

    Attributes:
        columns: name -> (lines,) float64; of a step's field that is an object `<field>.<name>`.
        evaluated: the lines with an evaluation's fields, as they were written.
        epochs: source -> how many times it has been read by the last line.
        passes: the epochs that ended, in that order. under_way: those that did not, and which share of each was read.
    """

    columns: dict[str, np.ndarray]
    evaluated: list[dict[str, Any]]
    epochs: dict[str, float]
    passes: list[Epoch] = field(default_factory=list)
    under_way: list[tuple[Epoch, float]] = field(default_factory=list)

    @property
    def steps(self) -> np.ndarray:
        return self.columns["step"]

    @property
    def kept(self) -> np.ndarray:
        """(lines,) bool: which steps the guard let through."""
        kept: np.ndarray = self.columns["skipped"] != 1
        return kept

    @property
    def skipped(self) -> np.ndarray:
        """(skips,) float64: the steps whose update the guard kept from the weights."""
        steps: np.ndarray = self.steps[~self.kept]
        return steps

    @property
    def clock(self) -> Clock:
        """What its steps are worth in target tokens and hours of training."""
        hours = np.cumsum(np.nan_to_num(self.columns["step_time_s"])) / 3600
        return Clock(self.steps, {"target tokens": self.columns["tokens_seen"], "hours of training": hours})

    def last_mean(self, name: str, count: int) -> float:
        """The mean of a column over those of the last `count` steps that were not skipped."""
        last = self.columns[name][-count:][self.kept[-count:]]
        finite = last[np.isfinite(last)]
        return float(finite.mean()) if len(finite) else float("nan")

    def evaluations(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(k,) steps and (k,) values, float64, of a field that evaluations gave."""
        points = [(line["step"], line[name]) for line in self.evaluated if isinstance(line.get(name), int | float)]
        steps, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
        return steps, values

    def evaluated_names(self) -> list[str]:
        """The names of all numbers that evaluations gave, in the order of their first."""
        return list(
            dict.fromkeys(name for line in self.evaluated for name, value in line.items() if is_evaluated(name, value))
        )


def over_last(histories: Sequence[History]) -> str:
    """Return in words what `last_mean` of LAST_STEPS is over, in each of these runs."""
    counts = {min(LAST_STEPS, len(history.steps)) for history in histories if len(history.steps)}
    if len(counts) > 1:
        return f"mean of the last {max(counts)} steps, or of all where there are fewer"
    return f"mean of the last {counts.pop()} steps" if counts - {1} else "mean of the last step"


def is_evaluated(name: str, value: Any) -> bool:
    """Return whether a field of a line is an evaluation's number."""
    return name not in STEPS and isinstance(value, int | float)


def read_history(path: Path) -> History:
    """Read metrics.jsonl into columns: 8 bytes a value, whatever the length of the run."""
    columns: dict[str, array[float]] = {name: array("d") for name in STEP_FIELDS}
    fields = [(name, columns[name].append) for name in STEP_FIELDS]
    evaluated, epochs, count, sums, passes = [], {}, 0, Epochs(), list[Epoch]()
    for line in read_lines(path):
        if "step" not in line:
            continue
        for name, append in fields:
            value = line.get(name)
            if isinstance(value, dict) and name not in NO_COLUMNS:
                _add_parts(columns, name, value, count)
            append(value if isinstance(value, int | float) else _spelled(value))
        if not line.keys() <= STEPS:
            evaluated.append(with_floats(line))
        epochs = line.get(EPOCHS, {})
        passes += sums.add(line, epochs)
        count += 1
    for column in columns.values():
        column.extend([np.nan] * (count - len(column)))
    arrays = {name: np.array(column) for name, column in columns.items()}
    return History(arrays, evaluated, epochs, passes, sums.under_way())


def _add_parts(columns: dict[str, array[float]], name: str, parts: dict[str, Any], count: int) -> None:
    for part, value in parts.items():
        column = columns.get(f"{name}.{part}")
        if column is None:
            column = columns[f"{name}.{part}"] = array("d", [np.nan] * count)
        elif len(column) < count:
            column.extend([np.nan] * (count - len(column)))
        column.append(value if isinstance(value, int | float) else _spelled(value))


def _spelled(value: Any) -> float:
    """Return what a line spells as a text as a float; NaN for what is no number."""
    return NON_FINITE.get(value, np.nan) if isinstance(value, str) else np.nan
