"""Charts as HTML and SVG without script: the plot stretches with the window, labels keep their size, hovering tells."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from foundation.page.scale import Axis, linear_axis, log_axis, number, short
from foundation.text import one_line

SIDE = 1000  # of the SVG's own square, which is stretched over the plot
NUM_COLUMNS = 400  # a line with more points than 4 a column is thinned: first, lowest, highest and last of each column
NUM_STRIPS = 120  # upright strips that show their values on hover
NUM_COLORS = 6
LAST = 0.97  # a label further right ends at its tick: centred there, it would stick out of the page and make it scroll
FAINT_TAIL_PERCENT = 0.5  # of a faint line's points at each end may lie outside the axis: they stop at its edge


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        name: for the legend.
        xs, ys: (n,) numbers, xs rising; a non-finite y breaks the line.
        faint: drawn thin and behind, e.g. raw values beside their mean; its outliers do not widen the axis.
        dots: mark each point: few values, wide apart. joined: draw the line between them, too.
        color: 0 to 5, for lines that belong together; default: the line's place in the chart.
    """

    name: str
    xs: Sequence[float] | np.ndarray
    ys: Sequence[float] | np.ndarray
    faint: bool = False
    dots: bool = False
    joined: bool = True
    color: int | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: `value` in full colour, `lost` after it, hatched; `note` is the text behind it."""

    label: str
    value: float
    lost: float = 0.0
    note: str = ""


def safe(text: object) -> str:
    """Return any value's text on one line, its control characters drawn, escaped for HTML and its attributes."""
    return html.escape(one_line(str(text)), quote=True)


def bar_chart(bars: Sequence[Bar], max_value: float | None = None) -> str:
    """Return bars that lie, one a line, on a common scale from 0 to the longest, or to `max_value`."""
    if not bars:
        return _EMPTY
    whole = max_value or max(bar.value + bar.lost for bar in bars) or 1.0
    return f'<div class="bars">{"".join(_bar(bar, whole) for bar in bars)}</div>'


def line_chart(
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    log_y: bool = False,
    marks: Sequence[float] | np.ndarray = (),
    mark: str = "",
    log_x: bool = False,
) -> str:
    """Return a chart of lines over a common x.

    Args:
        lines: in the order of the legend.
        x_label, y_label: with the unit.
        log_y: logarithmic y; values not above 0 are left out.
        marks: x values to mark at the foot of the plot.
        mark: what they are, for the legend.
        log_x: logarithmic x; every x must be above 0.
    """
    clean = [_clean(line, log_y, index % NUM_COLORS) for index, line in enumerate(lines)]
    drawn = [line for line in clean if np.isfinite(line.ys).any()]
    if not drawn:
        return _EMPTY
    x_axis = (log_axis if log_x else linear_axis)(*_range([np.asarray(line.xs) for line in drawn]))
    y_axis = _y_axis(drawn, log_y)
    body = [_grid(y_axis)]
    # faint lines first: they lie behind
    body += [_path(line, x_axis, y_axis) for line in sorted(drawn, key=lambda line: not line.faint)]
    body += [_foot_mark(place) for place in x_axis.place(np.asarray(marks, dtype=np.float64))]
    return _figure(
        legend=_legend(drawn, mark if len(marks) else ""),
        plot="".join(body),
        strips=_line_strips(drawn, x_axis, x_label),
        x_ticks=list(zip(x_axis.place(np.array(x_axis.ticks)), map(short, x_axis.ticks), strict=True)),
        y_axis=y_axis,
        labels=(x_label, y_label),
    )


def histogram_chart(
    edges: Sequence[float],
    counts: Sequence[int],
    x_label: str,
    y_label: str,
    upon: Sequence[int] = (),
    names: Sequence[str] = (),
) -> str:
    """Return upright bars, one a bin, all equally wide whatever the edges are.

    Args:
        edges: (bins + 1,) rising.
        counts: (bins,) what lies in edges[i] <= x < edges[i + 1].
        upon: (bins,) of another kind, drawn upon them; none by default.
        names: of the two kinds.
    """
    layers = [np.asarray(layer, np.int64) for layer in (counts, upon) if len(layer)]
    sums = np.cumsum(layers, axis=0)
    if not layers or not sums.max(initial=0):
        return _EMPTY
    most = int(sums.max())
    y_axis = linear_axis(0.0, float(most), min(6, most))  # of 3 documents there is no half
    tops = SIDE * (1 - y_axis.place(np.concatenate([np.zeros((1, sums.shape[1])), sums])))
    bars = "".join(
        f'<g class="hist c{color}">{_upright(low, high)}</g>'
        for color, (low, high) in enumerate(itertools.pairwise(tops))
    )
    values = zip(*(layer.tolist() for layer in layers), strict=True)
    strips = [
        f"{number(low)} to {number(high)}: {_named(of_bin, names)}"
        for low, high, of_bin in zip(edges, edges[1:], values, strict=False)
    ]
    every = max(1, math.ceil(len(counts) / 5))  # more labels touch each other on a phone
    ticks = [(i / len(counts), _edge(edges[i])) for i in range(0, len(edges), every)]
    keys = "".join(f'<span><i class="key c{i}"></i>{safe(name)}</span>' for i, name in enumerate(names))
    return _figure(keys, _grid(y_axis) + bars, strips, ticks, y_axis, (x_label, y_label))


def _upright(bottoms: np.ndarray, tops: np.ndarray) -> str:
    width = SIDE / len(tops)
    return "".join(
        f'<rect x="{i * width + width * 0.06:.1f}" y="{top:.1f}" width="{width * 0.88:.1f}" '
        f'height="{bottom - top:.1f}"/>'
        for i, (bottom, top) in enumerate(zip(bottoms, tops, strict=True))
    )


def _named(values: Sequence[int], names: Sequence[str]) -> str:
    if not names:
        return number(values[0])
    return ", ".join(f"{name} {number(value)}" for name, value in zip(names, values, strict=True))


_EMPTY = '<p class="empty">Nothing to draw.</p>'


def _edge(value: float) -> str:
    """Return a bin's edge: whole while it is short enough, 1,024 and not 1.02k."""
    return number(value) if abs(value) < 1e5 else short(value)


def _bar(bar: Bar, whole: float) -> str:
    kept, lost = (max(0.0, 100.0 * part / whole) for part in (bar.value, bar.lost))
    hatched = f'<i class="lost" style="width:{lost:.3f}%"></i>' if bar.lost else ""
    return (
        f'<div class="bar"><span class="label">{safe(bar.label)}</span>'
        f'<span class="note">{safe(bar.note or number(bar.value))}</span>'
        f'<span class="track"><i style="width:{kept:.3f}%"></i>{hatched}</span></div>'
    )


def _clean(line: Line, log_y: bool, place: int) -> Line:
    xs, ys = np.asarray(line.xs, dtype=np.float64), np.asarray(line.ys, dtype=np.float64)
    bad = ~np.isfinite(ys) | (ys <= 0) if log_y else ~np.isfinite(ys)
    known = np.isfinite(xs)
    color = place if line.color is None else line.color
    return replace(line, xs=xs[known], ys=np.where(bad, np.nan, ys)[known], color=color)


def _range(arrays: Iterable[np.ndarray]) -> tuple[float, float]:
    values = np.concatenate([array[np.isfinite(array)] for array in arrays])
    return float(values.min()), float(values.max())


def _y_axis(lines: Sequence[Line], log_y: bool) -> Axis:
    low, high = _range([_inliers(line) for line in lines])
    if log_y:
        return log_axis(low, high)
    margin = 0.04 * (high - low)
    return linear_axis(min(low, 0.0) if 0 <= low < 0.2 * high else low - margin, high + margin)


def _inliers(line: Line) -> np.ndarray:
    ys: np.ndarray = np.asarray(line.ys)[np.isfinite(line.ys)]
    if not line.faint or len(ys) < 20:
        return ys
    low, high = np.percentile(ys, [FAINT_TAIL_PERCENT, 100 - FAINT_TAIL_PERCENT])
    inside: np.ndarray = ys[(ys >= low) & (ys <= high)]
    return inside


def _path(line: Line, x_axis: Axis, y_axis: Axis) -> str:
    xs, ys = _thin(SIDE * x_axis.place(np.asarray(line.xs)), np.asarray(line.ys))
    pieces, pen = [], "M"
    for x, y in zip(xs, SIDE * (1 - y_axis.place(ys)), strict=True):
        if math.isnan(y):
            pen = "M"
            continue
        pieces.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    kind = "faint" if line.faint else "line"
    drawn = f'<path class="{kind} c{line.color}" d="{"".join(pieces)}"/>'
    if not line.dots and len(xs) > 1:
        return drawn
    # a stroke of no length with round ends is a dot that stretching leaves round
    dots = "".join(f"M{piece[1:]}h0" for piece in pieces)
    return f'{drawn if line.joined else ""}<path class="dots c{line.color}" d="{dots}"/>'


def _thin(xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(xs) <= 4 * NUM_COLUMNS:
        return xs, ys
    keep: set[int] = set()
    for column in np.array_split(np.arange(len(xs)), NUM_COLUMNS):
        seen = ys[column]
        keep.update((int(column[0]), int(column[-1])))
        if np.isfinite(seen).any():
            keep.update((int(column[np.nanargmin(seen)]), int(column[np.nanargmax(seen)])))
    order = np.array(sorted(keep))
    return xs[order], ys[order]


def _grid(y_axis: Axis) -> str:
    heights = SIDE * (1 - y_axis.place(np.array(y_axis.ticks)))
    return "".join(f'<path class="grid" d="M0 {height:.1f}H{SIDE}"/>' for height in heights)


def _foot_mark(place: float) -> str:
    return f'<path class="mark" d="M{place * SIDE:.1f} {SIDE}v-50"/>'


def _legend(lines: Sequence[Line], mark: str) -> str:
    keys = [f'<span><i class="key c{line.color}{_key(line)}"></i>{safe(line.name)}</span>' for line in lines]
    if mark:
        keys.append(f'<span><i class="key marks"></i>{safe(mark)}</span>')
    return "".join(keys) if len(keys) > 1 else ""


def _key(line: Line) -> str:
    return " thin" if line.faint else "" if line.joined else " dot"


def _line_strips(lines: Sequence[Line], x_axis: Axis, x_label: str) -> list[str]:
    low, high = _as_drawn(np.array([x_axis.low, x_axis.high]), x_axis)
    width = (high - low) / NUM_STRIPS
    finite = [(line.name, *_finite(line)) for line in lines]
    drawn = [_as_drawn(xs, x_axis) for _, xs, _ in finite]
    texts = []
    for middle in low + width * (np.arange(NUM_STRIPS) + 0.5):
        near = [
            (name, xs[i], ys[i], abs(places[i] - middle))
            for (name, xs, ys), places, i in zip(finite, drawn, (_nearest(each, middle) for each in drawn), strict=True)
            if places[0] - width <= middle <= places[-1] + width
        ]
        if not near:
            texts.append("")
            continue
        x = min(near, key=lambda each: each[3])[1]
        values = [f"{name} {number(float(y))}" for name, _, y, _ in near]
        texts.append("   ".join([f"{x_label} {number(float(x))}", *values]))
    return texts


def _as_drawn(xs: np.ndarray, axis: Axis) -> np.ndarray:
    return np.log(xs) if axis.log else xs


def _finite(line: Line) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(line.ys)
    return np.asarray(line.xs)[known], np.asarray(line.ys)[known]


def _nearest(xs: np.ndarray, x: float) -> int:
    right = int(np.searchsorted(xs, x))
    if right == 0 or right == len(xs):
        return min(right, len(xs) - 1)
    return right if xs[right] - x < x - xs[right - 1] else right - 1


def _figure(
    legend: str,
    plot: str,
    strips: Sequence[str],
    x_ticks: Sequence[tuple[float, str]],
    y_axis: Axis,
    labels: tuple[str, str],
) -> str:
    x_label, y_label = labels
    heights = 1 - y_axis.place(np.array(y_axis.ticks))
    y_marks = "".join(
        f'<span class="y" style="top:{100 * height:.2f}%">{safe(short(tick))}</span>'
        for height, tick in zip(heights, y_axis.ticks, strict=True)
    )
    x_marks = "".join(
        f'<span class="x{" last" if place > LAST else ""}" style="left:{100 * place:.2f}%">{safe(text)}</span>'
        for place, text in x_ticks
    )
    hover = "".join(f"<div><b>{safe(text)}</b></div>" if text else "<div></div>" for text in strips)
    return (
        f'<figure class="chart"><figcaption><span class="unit">{safe(y_label)}</span>{legend}</figcaption>'
        f'<div class="plot">{y_marks}<svg viewBox="0 0 {SIDE} {SIDE}" preserveAspectRatio="none" role="img">'
        f"<title>{safe(y_label)} over {safe(x_label)}</title>{plot}</svg>"
        f'<div class="strips">{hover}</div>{x_marks}</div><div class="unit right">{safe(x_label)}</div></figure>'
    )
