"""Histograms with limits that readers move: what would go by others, and which samples. The page kit's only script."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from foundation.overrides import entry_line, number_line
from foundation.page.charts import safe
from foundation.page.scale import number
from foundation.progress import human
from foundation.text import number_of, visible

HEIGHT, NUM_TICKS = 90, 5
REM_PER_BAR, LEAST_REM = 1.5, 12.0  # few bars shall not be walls
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Counted(NamedTuple):
    """Numbers of some documents, UTF-8 bytes of their text, and documents of them that nothing else takes."""

    documents: int
    utf8_bytes: int
    alone: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sample.

    Attributes:
        kind: why it was drawn; samples of one kind stand together.
        value: its score; place: of the edge at which the limit leaves it, as of `Explorer.edges`.
        alone: whether no other reason takes it.
        source: where it comes from, as of `Explorer.counts`; origin: where it lies there.
    """

    kind: str
    value: float
    place: int
    alone: bool
    name: str
    source: str
    origin: str
    text: str


@dataclass(frozen=True, slots=True)
class Explorer:
    """A histogram and its limit.

    Attributes:
        anchor: its id in the page.
        title: what is counted.
        note: about it, in soft colour.
        end: `least`: what lies below the limit goes; `most`: what lies above.
        limit: as it is set; infinite where there is none yet.
        edges: what the limit may be, ascending, at least one, the limit itself among them where it is finite. Bucket i
            begins at edges[i] for `least`, and ends with it for `most`.
        counts: source -> bucket -> what lies in it; empty buckets left out.
        taken: what goes by the limit, of all sources.
        setting: what is typed to set it, with `{}` in place of the number; empty where nothing is.
        samples: by score.
    """

    anchor: str
    title: str
    note: str
    end: Literal["least", "most"]
    limit: float
    edges: Sequence[float]
    counts: Mapping[str, Mapping[int, Counted]]
    taken: Counted
    setting: str = ""
    samples: Sequence[Drawn] = ()

    @property
    def start(self) -> int:
        """The place of the limit among the edges: where none is set yet, that at which nothing goes."""
        if math.isfinite(self.limit):
            return list(self.edges).index(self.limit)
        return 0 if self.end == "least" else len(self.edges) - 1


@cache
def script() -> str:
    """Return the script of all explorers of a page."""
    return Path(__file__).with_name("explorer.js").read_text(encoding="utf-8")


def explorers(them: Sequence[Explorer], advice: str = "") -> str:
    """Return the HTML of several, with a choice of the source that all of them count.

    Without scripts the histograms, the limits and the samples remain.

    Args:
        advice: stands behind what is to be typed.
    """
    sources = list(dict.fromkeys(source for it in them for source in it.counts))
    options = "".join(f"<option>{safe(source)}</option>" for source in sources)
    choice = (
        f'<label class="choice">Source <select disabled><option value="">all {len(sources)}</option>{options}</select>'
        "</label>"
    )
    return (
        f'<div class="explorers">{choice if len(sources) > 1 else ""}{"".join(_explorer(it, advice) for it in them)}'
        f'<p class="typed all" hidden>All of these together <code></code> <span>{safe(advice)}</span></p></div>'
    )


def _explorer(it: Explorer, advice: str) -> str:
    data = {
        "end": it.end,
        "start": it.start,
        "edges": [_typed(edge) for edge in it.edges],
        "setting": it.setting,
        "sources": {source: _packed(counts) for source, counts in it.counts.items()},
    }
    is_set = math.isfinite(it.limit)
    words = f"{'at least' if it.end == 'least' else 'at most'} {number(it.limit)}" if is_set else "no limit is set"
    gone, total = it.taken.documents, _total(it)
    goes = f"{gone:,} of {number_of(total, 'document')} {'goes' if gone == 1 else 'go'}"
    return (
        f'<div class="explorer" id="{safe(it.anchor)}" data-histogram="{html.escape(json.dumps(data), quote=True)}">'
        f"<h3>{safe(it.title)} <span>{safe(it.note)}</span></h3>"
        f'<div style="max-width:{max(len(it.edges) * REM_PER_BAR, LEAST_REM):.1f}rem">{_bars(it)}{_slider(it)}</div>'
        f'<p class="says"><b>{words}</b> <output>{goes}, {it.taken.alone:,} for this alone, '
        f"{human(it.taken.utf8_bytes, 'B')} of text</output></p>"
        f'<p class="typed" hidden>To set it, add <code></code> <span>{safe(advice)}</span></p>'
        f"{_samples(it)}</div>"
    )


def _slider(it: Explorer) -> str:
    only = " hidden" if len(it.edges) == 1 else ""  # all documents have one score
    return (
        f'<input type="range" min="0" max="{len(it.edges) - 1}" value="{it.start}" step="1" disabled{only} '
        f'aria-label="{safe(it.title)}">'
    )


def _total(it: Explorer) -> int:
    return sum(each.documents for counts in it.counts.values() for each in counts.values())


def _packed(counts: Mapping[int, Counted]) -> str:
    """Return buckets as `place,documents,bytes,alone` in base 36, the last left out where it is all of them."""
    return " ".join(
        ",".join(map(_base36, (place, *each[: 2 if each.alone == each.documents else 3])))
        for place, each in sorted(counts.items())
    )


def _base36(value: int) -> str:
    digits = ""
    while value:
        value, digit = divmod(value, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"


def _typed(value: float) -> str:
    """Return a number as it is typed; empty for an infinite one."""
    if not math.isfinite(value):
        return ""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _bars(it: Explorer) -> str:
    """Return the histogram, its heights logarithmic: a limit cuts where few documents are."""
    heights = [0] * len(it.edges)
    for counts in it.counts.values():
        for place, each in counts.items():
            heights[place] += each.documents
    most = math.log1p(max(heights) or 1)
    bars = ""
    for place, height in enumerate(heights):
        tall = HEIGHT * math.log1p(height) / most
        goes = math.isfinite(it.limit) and (place < it.start if it.end == "least" else place > it.start)
        kind = " class=gone" if goes else ""
        bars += f'<rect{kind} x="{place}" y="{HEIGHT - tall:.4g}" width=".88" height="{tall:.4g}"/>'
    cut = it.start + (it.end == "most") - 0.06  # between two bars
    line = f'<path d="M{cut:.2f} 0V{HEIGHT}"/>' if math.isfinite(it.limit) else ""
    last, only = len(heights) - 1, " hidden" if len(heights) == 1 else ""
    places = sorted({round(tick * last / (NUM_TICKS - 1)) for tick in range(NUM_TICKS)})
    ticks = "".join(
        f'<span style="left:{100 * (place + 0.5) / len(heights):.2f}%">{safe(number(it.edges[place], 3))}</span>'
        for place in places
    )
    return (
        f'<svg{only} viewBox="0 0 {len(heights)} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{safe(number(it.edges[0]))} to {safe(number(it.edges[-1]))}">{bars}{line}</svg>'
        f'<div class="ticks"{only}>{ticks}</div>'
    )


def _samples(it: Explorer) -> str:
    if not it.samples:
        return ""
    kinds = list(dict.fromkeys(each.kind for each in it.samples))
    lists = [_list(it, kind, [each for each in it.samples if each.kind == kind]) for kind in kinds]
    counts = ", ".join(f"{sum(each.kind == kind for each in it.samples)} {kind}" for kind in kinds)
    return f"<details><summary>Samples <span>{safe(counts)}</span></summary>{''.join(lists)}</details>"


def _list(it: Explorer, kind: str, samples: Iterable[Drawn]) -> str:
    lines, was_on_the_left = [], False
    for each in samples:
        on_the_left = each.place < it.start if it.end == "least" else each.place <= it.start
        if was_on_the_left and not on_the_left and math.isfinite(it.limit):
            lines.append(f'<li class="cut">limit {safe(number(it.limit))}</li>')
        was_on_the_left = on_the_left
        lines.append(_sample(it, each))
    return f"<h4>{safe(kind)}</h4><ol>{''.join(lines)}</ol>"


def _sample(it: Explorer, sample: Drawn) -> str:
    goes = math.isfinite(it.limit) and (sample.place < it.start if it.end == "least" else sample.place > it.start)
    verdict = "goes" if goes else "stays" if sample.alone else "passes"
    other = "" if sample.alone else "; goes for another reason" + (", too" if goes else "")
    alone = ' data-alone="1"' if sample.alone else ""
    text = html.escape(visible(" ".join(sample.text.split())), quote=True)
    return (
        f'<li class="{verdict}" data-place="{sample.place}" data-source="{safe(sample.source)}"{alone}>'
        f"<b>{safe(number(sample.value))}</b><i>{verdict}</i><div><cite>{safe(sample.name)}</cite> "
        f"<small>{safe(sample.source)}, {safe(sample.origin)}{other}</small><p>{text}</p></div></li>"
    )


def setting_of(key: str, group: str | None) -> str:
    """Return what is typed in a shell to set a key, `{}` in place of the number; empty where nothing is.

    Args:
        group: the key's value is a dict, of which this entry is set.
    """
    if not key:
        return ""
    return number_line(key) if group is None else entry_line(key, group)
