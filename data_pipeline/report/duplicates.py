"""The page's section on near-duplicates: pairs with what differs, how alike all are, clusters, what settings find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.dedup.lsh import percent
from data_pipeline.output_dir import DEDUPLICATION, REMOVED
from foundation.files import read_json
from foundation.page import Line, Page, Pair
from foundation.text import one_line

STAGE = "near"
TITLE_CHARS, BEGIN_CHARS = 90, 120
LOWEST = 0.5  # threshold of which the page speaks
MIN_CLUSTER = 3  # documents: smaller ones are pairs
Summary = dict[str, Any]


def show_near_duplicates(page: Page, output_dir: Path, title: str) -> None:
    """Add the section; none where nothing was sought.

    Args:
        output_dir: of the pipeline.
        title: of the stage.
    """
    path = output_dir / DEDUPLICATION / "summary.json"
    if not path.is_file():
        return
    summary = read_json(path)
    page.section(f"Removed: {title}", f"{STAGE}-near_duplicate")
    _pairs(page, summary["pairs"])
    _similarity(page, summary)
    _clusters(page, [cluster for cluster in summary["clusters"] if cluster["documents"] >= MIN_CLUSTER])
    if summary["self_test"]:
        _self_test(page, summary["self_test"])


def _pairs(page: Page, pairs: list[dict[str, Any]]) -> None:
    if not pairs:
        page.text("None was removed.")
        return
    page.text(
        "Some of the pairs, the least similar first: each where the texts differ first, and where they differ longest; "
        f"the words that differ are marked. All removals are in {REMOVED}/{STAGE}/."
    )
    page.pairs([_pair(pair) for pair in pairs], open_first=True)


def _pair(pair: dict[str, Any]) -> Pair:
    removed, kept = (one_line(pair[side]["id"], TITLE_CHARS) for side in ("removed", "kept"))
    return Pair(
        removed,
        f"similarity {pair['similarity']:.3f}, source {pair['removed']['source']}",
        f"removed: {removed}",
        pair["text"],
        f"kept: {kept}",
        pair["kept_text"],
    )


def _similarity(page: Page, summary: Summary) -> None:
    edges, removed, stayed = (np.array(summary["similarity"][name]) for name in ("edges", "removed", "stayed"))
    if not (removed.sum() or stayed.sum()):
        return
    page.heading("How similar documents are to the kept one most like them")
    page.text(
        "Measured on whole sets of shingles: of those removed, to the one they went for; of those that stayed, to the "
        "one whose signature is most like theirs, where bands connect them with one. Far below the threshold bands see "
        "only a part."
    )
    first = int(np.flatnonzero(removed + stayed)[0])
    bins, lower, upper = (each[first:].tolist() for each in (edges, stayed, removed))
    page.histogram(bins, lower, "similarity", "documents", upper, ("stayed", "removed"))
    seen = _curve(summary)
    gone = np.cumsum((removed + stayed)[::-1])[::-1]
    page.text("How many documents would go, about, at which threshold, and which share of such pairs these bands see:")
    rows: list[list[str | int]] = [
        [_named(edge, summary), count, percent(seen[edge]) if edge in seen else ""]
        for edge, count in zip(edges.tolist(), gone.tolist(), strict=False)
        if edge >= LOWEST
    ]
    page.table(["threshold", "documents", "seen"], rows)


def _curve(summary: Summary) -> dict[float, float]:
    """Return similarity -> share of the pairs that bands see; empty where nothing was planted."""
    if not summary["self_test"]:
        return {}
    curve = summary["self_test"]["curve"]
    return dict(zip(curve["similarities"], curve["found"], strict=True))


def _named(edge: float, summary: Summary) -> str:
    return f"{edge:g}, as set" if edge == summary["similarity"]["threshold"] else f"{edge:g}"


def _clusters(page: Page, clusters: list[dict[str, Any]]) -> None:
    if not clusters:
        return
    page.heading("The largest clusters")
    page.text(
        "Documents that shared bands connect, alike or not: within these they are compared. The number is that in the "
        f"column cluster of {REMOVED}/{STAGE}/; the text is of the document that most of them went for, or of the "
        "first, where none went."
    )
    rows: list[list[str | int]] = [
        [
            cluster["cluster"],
            cluster["documents"],
            cluster["removed"],
            cluster["for_hub"],
            one_line(cluster["hub"]["id"], TITLE_CHARS),
            one_line(" ".join(cluster["text"].split()), BEGIN_CHARS),
        ]
        for cluster in clusters
    ]
    page.table(["cluster", "documents", "removed", "for one", "which", "begins"], rows)


def _self_test(page: Page, test: dict[str, Any]) -> None:
    curve, levels = test["curve"], test["levels"]
    page.heading("What these settings find")
    similar, found = (sum(level[name] for level in levels) for name in ("similar", "found"))
    planted = sum(level["planted"] for level in levels)
    page.text(
        f"{planted:,} near-duplicates were made of a sample of this text and sought with these settings; they are in "
        f"no output. Recall: of {similar:,} at the threshold or above {found:,} were found{_share(found, similar)}. "
        f"Precision: of {test['removed']:,} documents removed {test['rightly']:,} were similar enough to the kept one"
        f"{_share(test['rightly'], test['removed'])}. The line is what {curve['bands']} bands of {curve['rows']} rows "
        "are expected to see, the points are the planted pairs that they saw: what is seen is compared, and goes where "
        "it is similar, at the threshold or above."
    )
    points = Line(
        "planted pairs",
        [float(level["name"]) for level in levels],
        [level["connected"] / level["planted"] for level in levels],
        dots=True,
        joined=False,
        color=1,
    )
    expected = Line("expected", curve["similarities"], curve["found"], color=0)
    page.lines([expected, points], "Jaccard similarity", "share seen", marks=[curve["threshold"]], mark="threshold")
    headers = ["planted", "seen", "similar", "found", "recall"]
    page.table(["similarity", *headers], [_fared(level) for level in levels])
    page.table(["made by", *headers], [_fared(edit) for edit in test["edits"]])


def _fared(each: dict[str, Any]) -> list[str | int]:
    share = f"{each['found'] / each['similar']:.1%}" if each["similar"] else ""
    return [each["name"], each["planted"], each["connected"], each["similar"], each["found"], share]


def _share(part: int, whole: int) -> str:
    return f" ({part / whole:.1%})" if whole else ""
