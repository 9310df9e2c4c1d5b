"""A histogram with a limit that readers move: what would go by another one. The only script of the page kit."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from foundation.page.charts import safe
from foundation.page.scale import number
from foundation.progress import human

WIDTH, HEIGHT, MOST_BARS = 640, 90, 80


@dataclass(frozen=True, slots=True)
class Explorer:
    """A histogram and its limit.

    Attributes:
        title: what is counted.
        edges: lower edge of each bucket, ascending, at least one.
        documents, utf8_bytes, alone: by bucket; alone: documents that nothing else takes.
        side: whether what lies below the limit goes, or what lies above it.
        limit: as it is set.
        gone, gone_bytes, gone_alone: what that takes.
    """

    title: str
    edges: Sequence[float]
    documents: Sequence[int]
    utf8_bytes: Sequence[int]
    alone: Sequence[int]
    side: Literal["least", "most"]
    limit: float
    gone: int
    gone_bytes: int
    gone_alone: int


@cache
def script() -> str:
    """Return the script of all explorers of a page."""
    return Path(__file__).with_name("explorer.js").read_text(encoding="utf-8")


@cache
def script_source() -> str:
    """Return what a Content-Security-Policy names it by: nothing else on the page may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()}'"


def explorer(it: Explorer) -> str:
    """Return the HTML of one; without scripts the histogram and the limit remain."""
    count = len(it.edges)
    per_bar = -(-count // MOST_BARS) or 1
    start = sum(edge < it.limit for edge in it.edges) if it.side == "least" else sum(e <= it.limit for e in it.edges)
    data = {
        "side": it.side,
        "per_bar": per_bar,
        "labels": [number(edge) for edge in it.edges],
        "documents": list(it.documents),
        "utf8_bytes": list(it.utf8_bytes),
        "alone": list(it.alone),
    }
    label = (
        f"{'at least' if it.side == 'least' else 'at most'} {number(it.limit)}: {it.gone:,} go, "
        f"{it.gone_alone:,} for this alone, {human(it.gone_bytes, 'B')}"
    )
    return (
        f'<div class="explorer" data-histogram="{html.escape(json.dumps(data), quote=True)}">'
        f"<h3>{safe(it.title)} <span>{safe(label)}</span></h3>{_bars(it, per_bar)}"
        f'<label><input type="range" min="0" max="{count}" value="{start}" step="1" disabled '
        f'aria-label="{safe(it.title)}"></label><output></output></div>'
    )


def _bars(it: Explorer, per_bar: int) -> str:
    heights = [sum(it.documents[first : first + per_bar]) for first in range(0, len(it.documents), per_bar)]
    tallest, width = max(heights, default=0) or 1, WIDTH / max(len(heights), 1)
    bars = "".join(
        f'<rect x="{place * width:.2f}" y="{HEIGHT - max(height * HEIGHT / tallest, 1 if height else 0):.2f}" '
        f'width="{max(width - 1, 0.5):.2f}" height="{max(height * HEIGHT / tallest, 1 if height else 0):.2f}"/>'
        for place, height in enumerate(heights)
    )
    first, last = (safe(number(edge)) for edge in (it.edges[0], it.edges[-1]))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{first} to {last}">'
        f'{bars}</svg><div class="ends"><span>{first}</span><span>{last}</span></div>'
    )
