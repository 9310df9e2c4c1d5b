"""Heat maps of shares, as of histograms over the run: many of them, one shown at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foundation.page.charts import safe
from foundation.page.heat import ABSENT, MAX_LABELS, NUM_COLORS, attribute, colored, figure, palette, picture

LEAST_SHARE = 1e-6  # the darkest colour
LEVELS = 64  # of colour: neighbours that look alike make small pictures


@dataclass(frozen=True, slots=True)
class HeatGroup:
    """Heat maps of shares that have the same rows.

    Attributes:
        name: of the group. rows: names, from top to bottom.
        maps: name -> (rows, n) float64, shares from 0 to 1; NaN where there is none.
    """

    name: str
    rows: Sequence[str]
    maps: Mapping[str, np.ndarray]


def heat_choice(title: str, groups: Sequence[HeatGroup], xs: np.ndarray, x_label: str) -> str:
    """Return heat maps of shares, one shown at a time; without scripts the first alone.

    A column is one value of x. The colours are logarithmic, from LEAST_SHARE to the largest share of the group; what is
    0 has none. What the pointer tells is read from the colour: a few percent off.

    Args:
        groups: one or more, each with a map and a row.
        xs: (n,) rising. x_label: what x is.
    """
    highs = [_highest(group) for group in groups]
    maps, options = list[tuple[int, str]](), list[str]()
    for place, (group, high) in enumerate(zip(groups, highs, strict=True)):
        names = "".join(
            f'<option value="{len(maps) + at}">{safe(group.name)}: {safe(name)}</option>'
            for at, name in enumerate(group.maps)
        )
        options.append(f'<optgroup label="{safe(group.name)}">{names}</optgroup>')
        maps += [(place, picture(_share_colors(values, high))) for values in group.maps.values()]
    packed = [
        {"rows": list(group.rows), "high": high, "scale": _share_scale(high)}
        for group, high in zip(groups, highs, strict=True)
    ]
    data = {"x": x_label, "xs": xs.tolist(), "low": LEAST_SHARE, "groups": packed, "maps": maps}
    data |= {"labels": MAX_LABELS, "palette": palette()[:NUM_COLORS].tobytes().hex()}
    head = (
        f"<b>{safe(title)}</b><label hidden>of <select>{''.join(options)}</select></label>"
        f'<span class="unit">{_share_scale(highs[0])[0]}<i></i>{_share_scale(highs[0])[1]}, logarithmic</span>'
    )
    body = figure(head, title, groups[0].rows, xs, maps[0][1], x_label)
    return f'<figure class="heat" data-heats="{attribute(data)}">{body}'


def _highest(group: HeatGroup) -> float:
    return max(LEAST_SHARE * 10, *(float(np.nanmax(values, initial=0.0)) for values in group.maps.values()))


def _share_scale(high: float) -> tuple[str, str]:
    return f"{100 * LEAST_SHARE:g}%", f"{100 * high:.2g}%"


def _share_colors(shares: np.ndarray, high: float) -> np.ndarray:
    """Return (rows, columns) uint8, places in the palette, LEVELS of them."""
    held = np.where(shares > 0, np.maximum(shares, LEAST_SHARE), np.nan)
    places = colored(held, LEAST_SHARE, high, is_log=True)
    step = (NUM_COLORS - 1) / (LEVELS - 1)
    return np.where(places == ABSENT, ABSENT, np.round(np.round(places / step) * step)).astype(np.uint8)
