"""Curves to look into: zoom, logarithm, smoothing, values under the pointer, several runs on one axis."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from foundation.page.charts import NUM_COLORS, Line, line_chart, safe
from foundation.page.thin import extremes, means, stretch_size

NUM_STRETCHES = 4000  # of a long curve: some to a pixel even where a quarter of it is looked at
DIGITS = 5  # significant, of a value: more than a screen shows
SMOOTH_FRAC = 0.02  # of a run's points: the width of the running mean that a page opens with
MarkKind = Literal["skip", "level", "rewind", "restart", "change", "warning"]


@dataclass(frozen=True, slots=True)
class Clock:
    """What the steps of one run are worth on other axes.

    Attributes:
        steps: (n,) rising.
        values: axis -> (n,), rising: e.g. tokens, hours.
    """

    steps: np.ndarray
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve of a chart.

    Attributes:
        name: for the legend.
        steps: (n,) rising; ys: (n,) numbers, a non-finite one breaks the line.
        kept: (n,) bool, which values the running mean takes; all by default.
        dots: few values, wide apart: marked, joined and never smoothed.
        exact: no noise in it: never smoothed.
        color: default: the curve's place in the chart. run: the place of its clock.
    """

    name: str
    steps: np.ndarray
    ys: np.ndarray
    kept: np.ndarray | None = None
    dots: bool = False
    exact: bool = False
    color: int | None = None
    run: int = 0

    @property
    def is_smooth(self) -> bool:
        return self.dots or self.exact


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a step; `text` is shown under the pointer."""

    step: float
    kind: MarkKind
    text: str
    run: int = 0


MARKS: dict[MarkKind, str] = {
    "skip": "skipped step",
    "level": "new level let through",
    "rewind": "rewind",
    "restart": "restart",
    "change": "config changed, or asked of the run",
    "warning": "warning",
}


@cache
def script() -> str:
    """Return the script of all curves of a page."""
    return Path(__file__).with_name("curves.js").read_text(encoding="utf-8")


def curve_bar(clocks: Sequence[Clock], x_label: str) -> str:
    """Return the HTML of what all curves of a page hang on: the axis, the smoothing, the way back from a zoom.

    Args:
        clocks: one a run; all have the same axes.
        x_label: what steps are called.
    """
    names = [x_label, *(clocks[0].values if clocks else ())]
    data = {"axes": names, "clocks": [_clock(clock) for clock in clocks]}
    options = "".join(f'<option value="{place}">{safe(name)}</option>' for place, name in enumerate(names))
    slider = f'<input type="range" min="0" max="100" value="{_slider(SMOOTH_FRAC)}">'
    return (
        f'<div class="curve-bar" hidden data-clocks="{_attribute(data)}"><label>over <select>{options}</select></label>'
        f"<label>smoothing {slider}<output></output></label>"
        '<button type="button" disabled>whole run</button><span>drag in a chart to zoom</span></div>'
    )


def curves(
    them: Sequence[Curve], x_label: str, y_label: str, log_y: bool = False, marks: Sequence[Mark] = (), title: str = ""
) -> str:
    """Return a chart of curves. Without scripts it is the chart of `charts.line_chart`.

    Args:
        them: in the order of the legend.
        x_label: what steps are called; y_label: with the unit.
        log_y: whether the y axis is logarithmic at first.
        marks: what happened.
        title: stands above.
    """
    still = line_chart(_still(them), x_label, y_label, log_y, *_foot_marks(marks))
    if not any(np.isfinite(curve.ys).any() for curve in them):
        return still
    data = {
        "y": y_label,
        "log": log_y,
        "curves": [_curve(curve, place) for place, curve in enumerate(them)],
        "marks": [[mark.step, mark.run, mark.kind, mark.text] for mark in marks],
        "kinds": MARKS,
    }
    head = f"<h3>{safe(title)}</h3>" if title else ""
    return f'{head}<div class="curves" data-curves="{_attribute(data)}">{still}</div>'


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Return the centred mean over `window` finite neighbours, narrower at the ends; NaN where none is finite.

    Args:
        values: (n,) float64.
    """
    half = window // 2
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    places = np.arange(len(values))
    low, high = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    with np.errstate(invalid="ignore"):
        mean: np.ndarray = (sums[high] - sums[low]) / (counts[high] - counts[low])
    return mean


def _still(them: Sequence[Curve]) -> list[Line]:
    lines = []
    for place, curve in enumerate(them):
        color = (place if curve.color is None else curve.color) % NUM_COLORS
        window = 1 if curve.is_smooth else max(1, int(len(curve.ys) * SMOOTH_FRAC))
        lines.append(Line(curve.name, curve.steps, curve.ys, faint=window > 1, dots=curve.dots, color=color))
        if window > 1:
            mean = smooth(_of_kept(curve), window)
            lines.append(Line(f"{curve.name}, mean of {window}", curve.steps, mean, color=color))
    return lines


def _foot_marks(marks: Sequence[Mark]) -> tuple[list[float], str]:
    kinds = list(dict.fromkeys(mark.kind for mark in marks))
    return [mark.step for mark in marks], ", ".join(MARKS[kind] for kind in kinds)


def _of_kept(curve: Curve) -> np.ndarray:
    ys = np.asarray(curve.ys, dtype=np.float64)
    return ys if curve.kept is None else np.where(curve.kept, ys, np.nan)


def _curve(curve: Curve, place: int) -> dict[str, Any]:
    steps, ys = np.asarray(curve.steps, dtype=np.float64), np.asarray(curve.ys, dtype=np.float64)
    drawn = np.arange(len(ys)) if curve.dots else extremes(ys, NUM_STRETCHES)
    color = (place if curve.color is None else curve.color) % NUM_COLORS
    data = {"name": curve.name, "color": color, "run": curve.run, "dots": curve.dots}
    data |= {"x": packed_steps(steps[drawn]), "values": packed(ys[drawn])}
    if not curve.is_smooth:
        mean, counts = means(_of_kept(curve), NUM_STRETCHES)
        centers, _ = means(steps, NUM_STRETCHES)
        data |= {"size": stretch_size(len(ys), NUM_STRETCHES), "centers": packed_steps(np.round(centers))}
        data |= {"means": packed(mean), "counts": packed_steps(np.cumsum(counts))}
    return data


def _clock(clock: Clock) -> list[str]:
    count = len(clock.steps)
    places = np.unique(np.linspace(0, max(count - 1, 0), min(count, NUM_STRETCHES)).round().astype(np.int64))
    return [packed_steps(clock.steps[places]), *(packed(values[places], 8) for values in clock.values.values())]


def packed(values: np.ndarray, digits: int = DIGITS) -> str:
    """Return numbers in few characters, parted by blanks; what is not finite is `-`."""
    return " ".join(f"{value:.{digits}g}" if math.isfinite(value) else "-" for value in values.tolist())


def packed_steps(values: np.ndarray) -> str:
    """Return whole numbers as the distance of each from the one before, the first from 0: `distance` or
    `distance*times`."""
    deltas = np.diff(np.asarray(values, dtype=np.int64), prepend=0)
    if not len(deltas):
        return ""
    starts = np.flatnonzero(np.diff(deltas, prepend=deltas[0] - 1))
    times = np.diff(np.append(starts, len(deltas)))
    pairs = zip(deltas[starts].tolist(), times.tolist(), strict=True)
    return " ".join(f"{delta}*{count}" if count > 1 else str(delta) for delta, count in pairs)


def _slider(frac: float) -> int:
    """Return where the slider stands for a width: 0 is none, above it the hundredth root of 1,000 to 20 % of a run."""
    return round(100 * math.log(frac / 0.0002) / math.log(1000))


def _attribute(data: Any) -> str:
    return html.escape(json.dumps(data, separators=(",", ":"), ensure_ascii=False), quote=True)
