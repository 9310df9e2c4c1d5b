"""Points in the plane with a word each, as they move over the run: a step at a time, words under the pointer."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from foundation.page.charts import NUM_COLORS, safe
from foundation.page.scale import number

SIDE = 1000  # of the picture; a place is one of so many
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
MARGIN = 1.04  # of the picture around its outermost point


@dataclass(frozen=True, slots=True)
class Cloud:
    """Points with a word each, at several steps.

    Attributes:
        name: of the cloud. words: (n) of the points. kinds: (n) places in `kind_names`, below NUM_COLORS.
        steps: (k) rising. xy: (k, n, 2) float64; what is not finite is not drawn.
    """

    name: str
    words: Sequence[str]
    kinds: Sequence[int]
    kind_names: Sequence[str]
    steps: Sequence[int]
    xy: np.ndarray


@cache
def script() -> str:
    """Return the script of all clouds of a page."""
    return Path(__file__).with_name("scatter.js").read_text(encoding="utf-8")


def clouds(them: Sequence[Cloud], x_label: str) -> str:
    """Return clouds, one shown at a time, at one step; without scripts the first at its last step.

    Args:
        them: one or more, each with one step or more.
        x_label: what steps are called.
    """
    first = them[0]
    options = "".join(f'<option value="{place}">{safe(cloud.name)}</option>' for place, cloud in enumerate(them))
    frame = Frame.of(first.xy[-1])
    of_kind = (first.xy[-1][np.array(first.kinds) == kind] for kind in range(len(first.kind_names)))
    paths = "".join(
        f'<path class="dots c{kind % NUM_COLORS}" d="{_path(frame.places(xy))}"/>' for kind, xy in enumerate(of_kind)
    )
    x, y = frame.origin
    data = {"x": x_label, "clouds": [_packed(cloud) for cloud in them]}
    attribute = html.escape(json.dumps(data, separators=(",", ":"), ensure_ascii=False), quote=True)
    return (
        f'<figure class="scatter" data-clouds="{attribute}"><div class="choice" hidden>'
        f'<label>of <select>{options}</select></label><label>{safe(x_label)} <input type="range" min="0" step="1">'
        '</label><output></output><label>with <input type="search" placeholder="any letters"></label></div>'
        f'<figcaption>{_keys(first)}<span class="unit">{safe(first.name)}, {safe(x_label)} '
        f'{number(first.steps[-1])}</span></figcaption><div class="plane"><svg viewBox="0 0 {SIDE} {SIDE}">'
        f'<path class="grid" d="M0 {y}H{SIDE}M{x} 0V{SIDE}"/>{paths}</svg><span class="most">{frame.corners[1]}</span>'
        f'<span class="least">{frame.corners[0]}</span><span class="told" hidden></span></div></figure>'
    )


@dataclass(frozen=True, slots=True)
class Frame:
    """The square that a picture shows: its middle, and half the length of its sides."""

    x: float
    y: float
    half: float

    @classmethod
    def of(cls, xy: np.ndarray) -> Frame:
        """Return one that holds all finite points.

        Args:
            xy: (n, 2).
        """
        finite = xy[np.isfinite(xy).all(axis=1)]
        if not len(finite):
            return cls(0.0, 0.0, 1.0)
        low, high = finite.min(axis=0), finite.max(axis=0)
        x, y = (low + high) / 2
        return cls(float(x), float(y), MARGIN * float((high - low).max()) / 2 or 1.0)

    def places(self, xy: np.ndarray) -> np.ndarray:
        """Return (n, 2) int64, places from 0 to SIDE, y downwards as pictures have it; -1 where one is not finite."""
        finite = np.isfinite(xy).all(axis=1, keepdims=True)
        shares = 0.5 + 0.5 * (np.where(finite, xy, 0.0) - [self.x, self.y]) * [1.0, -1.0] / self.half
        return np.where(finite, np.clip(np.round(shares * SIDE), 0, SIDE), -1).astype(np.int64)

    @property
    def origin(self) -> tuple[int, int]:
        """The place of 0, or the edge that is nearest to it."""
        x, y = self.places(np.zeros((1, 2)))[0].tolist()
        return x, y

    @property
    def corners(self) -> tuple[str, str]:
        """Lower left and upper right, in words."""
        (left, right), (low, high) = ((each - self.half, each + self.half) for each in (self.x, self.y))
        return f"({number(left, 3)}, {number(low, 3)})", f"({number(right, 3)}, {number(high, 3)})"


def _path(places: np.ndarray) -> str:
    return "".join(f"M{x} {y}h0" for x, y in places.tolist() if x >= 0)


def _keys(cloud: Cloud) -> str:
    return "".join(
        f'<span><i class="key dot c{kind % NUM_COLORS}"></i>{safe(name)}</span>'
        for kind, name in enumerate(cloud.kind_names)
        if kind in set(cloud.kinds)
    )


def _packed(cloud: Cloud) -> dict[str, Any]:
    frames = [Frame.of(xy) for xy in cloud.xy]
    return {
        "name": cloud.name,
        "words": list(cloud.words),
        "kinds": "".join(DIGITS[kind] for kind in cloud.kinds),
        "names": list(cloud.kind_names),
        "steps": list(cloud.steps),
        "frames": [[*frame.corners, *frame.origin] for frame in frames],
        "looks": [_digits(frame.places(xy)) for frame, xy in zip(frames, cloud.xy, strict=True)],
    }


def _digits(at: np.ndarray) -> str:
    """Return places as two digits of base 36 each, x before y; `--` for none."""
    pairs = [f"{DIGITS[place // 36]}{DIGITS[place % 36]}" if place >= 0 else "--" for place in at.ravel().tolist()]
    return "".join(pairs)
