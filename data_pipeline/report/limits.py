"""What the page shows of the limits: each score's histogram, what the limit takes, what another one would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from data_pipeline.clean.histogram import lower_edge
from foundation.page import Explorer, Page

SIDES: tuple[tuple[Literal["least", "most"], str], ...] = (("least", "below"), ("most", "above"))


def show_limits(page: Page, limits: Sequence[dict[str, Any]]) -> None:
    """Add a section, none where no score was measured.

    Args:
        limits: as the stage `filter` has them in its facts.
    """
    measured = [limit for limit in limits if limit["histogram"]["rows"]]
    shown = [(limit, side, reason) for limit in measured for side, reason in SIDES if side in limit]
    if not shown:
        return
    page.section("Scores and limits")
    page.text(
        "Each score was measured of every document, also of those that went for another. Move a slider to see what "
        "another limit would take, to 3% of the score; then set it: nothing is read again. A bar counts documents."
    )
    for limit, side, reason in shown:
        histogram = limit["histogram"]
        buckets, documents, utf8_bytes, alone = (list(column) for column in zip(*histogram["rows"], strict=True))
        edges = [lower_edge(bucket) for bucket in buckets]
        title = limit[reason] if limit[reason] == limit["score"] else f"{limit[reason]}: {limit['score']}"
        page.explorer(Explorer(title, edges, documents, utf8_bytes, alone, side, limit[side], *histogram[reason]))
