"""forecast.html: what the whole run would do, then the report of the part that was read, as such."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_pipeline.output_dir import FORECAST, FORECAST_PAGE
from data_pipeline.preflight.drawn import Drawn
from data_pipeline.preflight.forecast import Forecast
from data_pipeline.preflight.show import Room, how_drawn, interval, needs, notes, reasons, tokens_in_all
from foundation.page import Page
from foundation.progress import human
from foundation.text import one_line


def write_forecast(folder: Path, found: tuple[Forecast, Sequence[Drawn], Room] | None, stopping: Sequence[str]) -> Path:
    """Write the page; the probe's own report, where it came so far, is there already and is what follows.

    Args:
        folder: of the outputs; the page is called by its name.
        found: the forecast, what was drawn and what the machine has; None where the probe came to no end.
        stopping: what would stop the run, a sentence each.
    Returns:
        Its path.
    """
    page = Page(f"Forecast of {folder.name}", "What the whole run would do, from a run of the same stages over a part.")
    if stopping:
        page.section("What would stop the run")
        for each in stopping:
            page.text(one_line(each))
    if found is not None:
        _forecast(page, *found)
    path = folder / FORECAST_PAGE
    if path.exists():
        page.section("The probe: of the part that was read")
        page.text(
            "All that follows is the report of the probe, a finished run over the part: its numbers are those of the "
            "part alone, and its shards, its ledger and the files of removed documents are gone."
        )
        path.write_text(page.before(path.read_text(encoding="utf-8")), encoding="utf-8")
        return path
    return page.write(path)


def _forecast(page: Page, made: Forecast, drawn: Sequence[Drawn], room: Room) -> None:
    page.section("Forecast")
    needed = needs(made, room)
    page.facts(
        {
            "Documents of the input": interval(made.read.to_json()),
            "Tokens": tokens_in_all(made),
            "Time of the run": needed.time,
            "Disk": needed.disk,
            "Memory": needed.memory,
        }
    )
    for each in drawn:
        page.text(f"{how_drawn(each)[:1].upper()}{how_drawn(each)[1:]}.")
    page.text(f"In brackets: where the true number lies with 95% confidence. {FORECAST} has all of it.")
    page.heading("By stage")
    page.table(
        ["stage", "documents left", "seconds", "memory", "disk", "removed, of the whole input"],
        [
            ["(read)", interval(made.read.to_json()), "", "", "", ""],
            *(
                [
                    stage.name,
                    interval(stage.documents.to_json()) if stage.documents else "",
                    f"{stage.costs.seconds:,.1f}",
                    human(stage.costs.memory_bytes, "B"),
                    human(stage.costs.disk_bytes, "B"),
                    reasons(stage),
                ]
                for stage in made.stages
            ),
        ],
    )
    page.heading("Tokens, by source")
    page.table(["source", "tokens"], [[name, interval(each.to_json())] for name, each in made.tokens.items()])
    for note in notes(made, drawn):
        page.text(f"{note[:1].upper()}{note[1:]}.")
