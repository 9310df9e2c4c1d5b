"""What the page shows of the limits: each score's histogram, what the limit takes, what another one would take, and
documents on both sides of it; of each label, its documents."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from foundation.overrides import list_line
from foundation.page import Counted, Drawn, Explorer, Page, setting_of
from foundation.progress import human
from foundation.text import one_line

GROUP = "clean"  # the config group whose keys are typed
MOST_EDGES = 100  # of a slider
MOST_LABELS = 40  # lines of a table
TITLE_CHARS = 90
ADVICE = "to the command: it decides anew by the stored scores; no text is cleaned again."
ABOUT = (
    "Each score was measured of every document, also of those that went for another. Move a slider to see what another "
    "limit would take; the numbers are exact. A bar counts documents, on a logarithmic scale; its borders are "
    "numbers of two digits, so that bars just above 1, 10 or 100 are wider than those just below. The dashed line "
    "is the limit as it is set. Samples are the documents nearest to it on both sides, and some drawn by lot; "
    "records are counted from 0. "
    "What takes most stands first."
)
Measured = Mapping[str, Any]  # the facts of stages.measured.Measured


def show_limits(page: Page, measured: Measured) -> None:
    """Add a section, none where no score was measured.

    Args:
        measured: as the stage `filter` has it in its facts; may be empty.
    """
    limits = [_explorer(limit) for limit in measured.get("limits", []) if limit["group"] is None]
    if limits:
        page.section("Scores and limits")
        page.text(ABOUT)
        page.explorers(sorted(limits, key=lambda limit: -limit.taken.documents), ADVICE)
    for choice in measured.get("choices", []):
        _labels(page, choice, [limit for limit in measured["limits"] if limit["group"] is not None])


def anchors(measured: Measured) -> dict[str, str]:
    """Return reason -> id, of all reasons that a limit on the page explains."""
    found: dict[str, str] = {}
    for limit in measured.get("limits", []):
        found.setdefault(limit["reason"], _anchor(limit))
    return found


def _anchor(limit: dict[str, Any]) -> str:
    return "-".join(each for each in (limit["score"], limit["end"], limit["group"]) if each)


def _labels(page: Page, choice: dict[str, Any], limits: list[dict[str, Any]]) -> None:
    """Show how many documents have each label, and the limits that hold for documents of one."""
    totals: dict[str, list[int]] = {}
    for by_label in choice["labels"].values():
        for name, counts in by_label.items():
            totals[name] = [a + b for a, b in zip(totals.get(name, [0] * len(counts)), counts, strict=True)]
    if not totals:
        return
    page.section(f"Documents by {choice['score'].replace('_', ' ')}")
    if choice["key"]:
        largest = sorted(totals, key=lambda name: (-totals[name][0], name))[:2]
        line = list_line(f"{GROUP}.{choice['key']}", largest)
        page.text(f"Which are wanted is set by {line}, added {ADVICE} Gone: for whatever reason the filter has.")
    num_docs = sum(counts[0] for counts in totals.values())
    order = sorted(totals, key=lambda name: (-totals[name][0], name))
    rows = [_row(name, totals[name], num_docs, choice["wanted"]) for name in order[:MOST_LABELS]]
    if len(order) > MOST_LABELS:
        rest = [sum(column) for column in zip(*(totals[name] for name in order[MOST_LABELS:]), strict=True)]
        rows.append([*_row(f"{len(order) - MOST_LABELS} others", rest, num_docs, None)[:-1], ""])
    page.table(["label", "documents", "of all", "text", "gone", "text gone", "wanted"], rows)
    shown = [_explorer(limit) for limit in limits]
    if shown:
        page.text("The limit of each, of those with most documents:")
        page.explorers(shown, ADVICE)


def _row(name: str, counts: list[int], num_docs: int, wanted: list[str] | None) -> list[str | int]:
    documents, utf8_bytes, gone, gone_bytes = counts
    is_wanted = "yes" if wanted is None or name in wanted else "no"
    share = f"{documents / num_docs:.2%}"
    return [name, documents, share, human(utf8_bytes, "B"), gone, human(gone_bytes, "B"), is_wanted]


def _explorer(limit: dict[str, Any]) -> Explorer:
    threshold, is_least = float(limit["threshold"]), limit["end"] == "least"
    found = {float(row[0]) for rows in limit["histogram"].values() for row in rows}
    edges = sorted(found | ({threshold} if math.isfinite(threshold) else set()))
    kept = thinned(edges, threshold)
    places = _places(edges, kept, is_least)
    counts = {source: _counted(rows, places) for source, rows in limit["histogram"].items() if rows}
    taken = Counted(*(sum(column) for column in zip(*limit["taken"].values(), strict=True)))
    subject = limit["score"] if limit["group"] is None else f"{limit['score']} of {limit['group']}"
    return Explorer(
        anchor=_anchor(limit),
        title=subject,
        note=limit["reason"] if limit["reason"] != limit["score"] else "",
        end=limit["end"],
        limit=threshold,
        edges=kept,
        counts=counts,
        taken=taken,
        setting=setting_of(limit["key"] and f"{GROUP}.{limit['key']}", limit["group"]),
        samples=[_drawn(sample, places, threshold) for sample in limit["samples"]],
    )


def thinned(edges: list[float], threshold: float, most: int = MOST_EDGES) -> list[float]:
    """Return at most about `most` of the edges, evenly, the threshold and both ends among them."""
    if len(edges) <= most:
        return edges
    places = {round(place * (len(edges) - 1) / (most - 1)) for place in range(most)}
    return [edge for place, edge in enumerate(edges) if place in places or edge == threshold]


def _places(edges: Iterable[float], kept: list[float], is_least: bool) -> dict[float, int]:
    """Return of each edge the place of the kept one whose bucket takes in its own."""
    places: dict[float, int] = {}
    at = -1 if is_least else 0
    for edge in edges:
        if is_least:
            at += at + 1 < len(kept) and kept[at + 1] == edge
        places[edge] = at
        if not is_least:
            at += kept[at] == edge
    return places


def _counted(rows: list[list[Any]], places: dict[float, int]) -> dict[int, Counted]:
    found: dict[int, Counter[int]] = {}
    for edge, *counts in rows:
        held = found.setdefault(places[float(edge)], Counter())
        for column, number in enumerate(counts):
            held[column] += number
    return {place: Counted(held[0], held[1], held[2]) for place, held in found.items()}


def _drawn(sample: dict[str, Any], places: dict[float, int], threshold: float) -> Drawn:
    is_set = math.isfinite(threshold)
    kinds = {"nearest": "nearest to the limit" if is_set else "first to go by a limit", "by lot": "drawn by lot"}
    return Drawn(
        kind=kinds[sample["kind"]],
        value=float(sample["value"]),
        place=places[float(sample["edge"])],
        alone=sample["alone"],
        name=one_line(sample["id"], TITLE_CHARS),
        source=sample["source"],
        origin=f"{sample['file']}, record {sample['row']:,}",
        text=sample["snippet"],
    )
