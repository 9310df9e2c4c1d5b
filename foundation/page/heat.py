"""Heat maps: a row a layer, a column a stretch of the run, as a small picture inside the page."""

from __future__ import annotations

import base64
import html
import json
import math
import struct
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from foundation.page.charts import safe
from foundation.page.scale import number, short
from foundation.page.thin import stretch_size

MAX_COLUMNS = 240
MAX_LABELS = 24  # rows that are named: more would touch each other
LOG_RATIO = 20.0  # between lowest and highest, all above 0, from which on colours are logarithmic
NUM_COLORS, ABSENT, BROKEN = 254, 254, 255  # entries of the palette: a scale, nothing there, not finite
# dark to light, of equal steps in lightness to the eye
SCALE = ((30, 18, 70), (63, 50, 130), (48, 105, 142), (40, 150, 138), (94, 190, 98), (240, 228, 66))
RED = (214, 40, 40)


@cache
def script() -> str:
    """Return the script that tells values under the pointer."""
    return Path(__file__).with_name("heat.js").read_text(encoding="utf-8")


def heat_map(title: str, rows: Sequence[str], xs: np.ndarray, values: np.ndarray, x_label: str) -> str:
    """Return a heat map; of a cell that stands for several values the highest is shown, a broken one before all.

    Args:
        rows: names, from top to bottom.
        xs: (n,) rising.
        values: (rows, n) float64; NaN where there is none, infinite where one is not finite.
        x_label: what x is.
    """
    firsts, cells = shrunk(xs, values, MAX_COLUMNS)
    finite = cells[np.isfinite(cells)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    is_log = low > 0 and high / low > LOG_RATIO
    data = {"rows": list(rows), "x": x_label, "xs": firsts.tolist(), "values": [_packed(row) for row in cells]}
    scale = f"{number(low, 3)}<i></i>{number(high, 3)}{', logarithmic' if is_log else ''}"
    head = f'<b>{safe(title)}</b><span class="unit">{scale}</span>'
    body = figure(head, title, rows, firsts, picture(colored(cells, low, high, is_log)), x_label)
    return f'<figure class="heat" data-heat="{attribute(data)}">{body}'


def figure(head: str, title: str, rows: Sequence[str], xs: np.ndarray, image: str, x_label: str) -> str:
    """Return the inside of a heat map's figure, and its end.

    Args:
        head: HTML of its caption. image: of `picture`. title, rows, xs, x_label: as of `heat_map`.
    """
    every = math.ceil(len(rows) / MAX_LABELS)
    labels = "".join(f"<span>{safe(name) if place % every == 0 else ''}</span>" for place, name in enumerate(rows))
    places = sorted({round(tick * (len(xs) - 1) / 4) for tick in range(5)}) if len(xs) else []
    ticks = "".join(f'<span style="left:{100 * (at + 0.5) / len(xs):.2f}%">{short(xs[at])}</span>' for at in places)
    return (
        f'<figcaption>{head}<output></output></figcaption><div class="cells" style="--rows:{len(rows)}">'
        f'<div class="names">{labels}</div><img alt="{safe(title)}" src="data:image/png;base64,{image}"><span></span>'
        f'<div class="ticks">{ticks}</div></div><div class="unit right">{safe(x_label)}</div></figure>'
    )


def picture(places: np.ndarray) -> str:
    """Return the PNG of places in the palette in base64."""
    return base64.b64encode(png(places)).decode()


def shrunk(xs: np.ndarray, values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first x of each column and its highest values: infinite where one is not finite, NaN without any.

    Args:
        xs: (n,). values: (rows, n). most: columns.
    Returns:
        (k,) and (rows, k), k at most `most`.
    """
    size = stretch_size(len(xs), most)
    starts = np.arange(0, len(xs), size)
    padded = np.full((len(values), len(starts) * size), -np.inf)
    padded[:, : len(xs)] = np.where(np.isnan(values), -np.inf, values)
    padded[:, : len(xs)][np.isneginf(values)] = np.inf
    highest = padded.reshape(len(values), len(starts), size).max(2)
    return xs[starts], np.where(np.isneginf(highest), np.nan, highest)


def colored(cells: np.ndarray, low: float, high: float, is_log: bool) -> np.ndarray:
    """Return (rows, columns) uint8, places in the palette."""
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.log(cells / low) / math.log(high / low) if is_log else (cells - low) / ((high - low) or 1.0)
    places = np.nan_to_num(np.clip(scaled, 0, 1)) * (NUM_COLORS - 1)
    places = np.where(np.isnan(cells), ABSENT, np.where(np.isinf(cells), BROKEN, places))
    return places.astype(np.uint8)


def palette() -> np.ndarray:
    """Return (256, 3) uint8, the colours of the scale, of nothing and of what is broken."""
    anchors = np.array(SCALE, dtype=np.float64)
    at = np.linspace(0, len(SCALE) - 1, NUM_COLORS)
    scale = np.stack([np.interp(at, np.arange(len(SCALE)), anchors[:, channel]) for channel in range(3)], axis=1)
    return np.concatenate([scale.round().astype(np.uint8), np.array([(0, 0, 0), RED], dtype=np.uint8)])


def png(places: np.ndarray) -> bytes:
    """Return a PNG of places in the palette.

    Args:
        places: (rows, columns) uint8.
    """
    rows, columns = places.shape
    lines = np.zeros((rows, columns + 1), dtype=np.uint8)  # a line begins with its filter: none
    lines[:, 1:] = places
    transparent = bytes([255] * ABSENT + [0])  # what is absent lets the page through
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
        (b"PLTE", palette().tobytes()),
        (b"tRNS", transparent),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def attribute(data: object) -> str:
    """Return JSON as an attribute's value."""
    return html.escape(json.dumps(data, separators=(",", ":"), ensure_ascii=False), quote=True)


def _packed(row: np.ndarray) -> str:
    return " ".join("" if math.isnan(value) else f"{value:.3g}" for value in row.tolist())
