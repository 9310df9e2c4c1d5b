"""The forecast in words: a table by stage, one by source, what it needs of the machine; and beside the truth."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from data_pipeline.ledger import total
from data_pipeline.output_dir import FORECAST
from data_pipeline.pipeline import Result
from data_pipeline.preflight.drawn import Drawn
from data_pipeline.preflight.estimate import Estimate
from data_pipeline.preflight.forecast import DUPLICATES, Forecast, StageForecast, tokens_of
from data_pipeline.report.tables import print_tables
from data_pipeline.stages.decontaminate import Decontaminate
from data_pipeline.stages.paragraphs import CutParagraphs
from data_pipeline.stages.stage import Finished
from foundation.errors import InputError
from foundation.files import read_json
from foundation.progress import human
from foundation.text import number_of

MOST_REASONS = 4  # of a stage; forecast.json has all
TIGHT = 0.9  # of the memory: beyond it the system begins to lack it

DOUBTS = {
    DUPLICATES: "duplicates are found only where both are in the part: what it shows is a lower bound, "
    "`at most` an upper one; what of it is true shows in the run, and all numbers after it depend on it",
    (CutParagraphs.name,): "paragraphs: what repeats is counted over all documents: the part shows less than there is",
    (Decontaminate.name,): "decontaminate: phrases common in the whole corpus may not be so in the part, which then "
    "shows more contamination than there is",
}


@dataclass(frozen=True, slots=True)
class Room:
    """What the machine has.

    Attributes:
        folder: of the outputs.
        held_bytes: that an earlier run left there; its files are replaced.
        memory_bytes: of the machine, or of the container.
    """

    folder: Path
    held_bytes: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run needs, in words.

    Attributes:
        time, disk, memory: each beside what there is.
        lacking: what the machine lacks for the run to come to its end, a sentence each.
    """

    time: str
    disk: str
    memory: str
    lacking: list[str]


def print_forecast(made: Forecast, drawn: Sequence[Drawn], room: Room) -> list[str]:
    """Print the forecast to stderr.

    Returns:
        What the machine lacks for the run to come to its end, a sentence each.
    """
    for each in drawn:
        print(f"preflight: {how_drawn(each)}", file=sys.stderr)
    print_tables(_stages(made), _removals(made), _tokens(made))
    needed = needs(made, room)
    lines = [f"time:   {needed.time}", f"disk:   {needed.disk}", f"memory: {needed.memory}"]
    lines += [f"note:   {doubt}" for doubt in notes(made, drawn)]
    if made.memory_bytes > TIGHT * room.memory_bytes:
        lines.append(
            "warning: this may be more memory than there is: set fewer executor.workers or smaller partition_bytes"
        )
    print("\n".join(lines), file=sys.stderr)
    return needed.lacking


def needs(made: Forecast, room: Room) -> Needs:
    """Return what the run needs, beside what there is now."""
    free = shutil.disk_usage(room.folder).free
    needed = max(made.disk_bytes - room.held_bytes, 0)
    lacking = (
        f"disk: {human(needed, 'B')} are needed and {human(free, 'B')} are free at {room.folder}: make room, or give "
        "another output_dir."
    )
    return Needs(
        time=f"about {_time(made.seconds)}, at most {_time(made.most_seconds)}",
        disk=f"{human(needed, 'B')} needed, {human(free, 'B')} free",
        memory=f"{human(made.memory_bytes, 'B')} at the peak, {human(room.memory_bytes, 'B')} on this machine",
        lacking=[lacking] if needed > free else [],
    )


def notes(made: Forecast, drawn: Sequence[Drawn]) -> list[str]:
    """Return what a part of the input can't show, of the stages that are on; nothing where it was no part but all."""
    if all(each.is_all for each in drawn):
        return []
    return [doubt for stages, doubt in DOUBTS.items() if any(stage.name in stages for stage in made.stages)]


def tokens_in_all(made: Forecast) -> str:
    """Return the tokens of all sources, in words."""
    return interval(sum(made.tokens.values(), Estimate(0.0, 0.0, 0.0)).to_json())


def print_truth(result: Result, config: str) -> None:
    """Print a finished run beside its forecast, where the output folder holds one of the same settings.

    Args:
        config: the hash of its settings, `preflight.config_hash`.
    """
    path = result.output_dir / FORECAST
    try:
        foretold: dict[str, Any] = read_json(path) if path.is_file() else {}
    except InputError as error:
        print(f"warning: {error}", file=sys.stderr)
        return
    stages = [done for done in result.stages if done.redone and done.name in foretold.get("stages", {})]
    if foretold.get("config") != config or not stages:
        return
    table = _table("stage", ("foretold", "documents", "foretold", "seconds", "foretold", "memory", "foretold", "disk"))
    for done in stages:
        table.add_row(done.name, *_beside(done, foretold["stages"][done.name]))
    tokens = _table("source", ("foretold", "tokens", "difference"))
    for source, ends in foretold["tokens"].items():
        number, value = tokens_of(source, result), ends["value"] or 0
        tokens.add_row(source, interval(ends), f"{number:,}", f"{value / number - 1:+.1%}" if number else "")
    print("the forecast beside the run:", file=sys.stderr)
    print_tables(table, tokens)


def _beside(done: Finished, foretold: Mapping[str, Any]) -> list[str]:
    took, left = done.timing, total(done.book).num_out
    documents = ["", ""]
    if foretold["documents"] is not None and done.book:
        documents = [interval(foretold["documents"]), f"{left:,}{_outside(left, foretold['documents'])}"]
    sizes = [
        human(number, "B") for key in ("memory_bytes", "disk_bytes") for number in (foretold[key], took.get(key, 0.0))
    ]
    return [*documents, f"{foretold['seconds']:,.1f}", f"{took['seconds']:,.1f}", *sizes]


def _outside(number: float, ends: Mapping[str, float | None]) -> str:
    """Return a mark where a number lies outside of its interval."""
    high = ends["high"]
    return "" if (ends["low"] or 0) <= number and (high is None or number <= high) else " !"


def interval(ends: Mapping[str, float | None]) -> str:
    """Return an estimate, in words."""
    low, high = ends["low"], ends["high"]
    value = f"{ends['value'] or 0:,.0f}"
    if low is None and high is None:
        return f"about {value}"
    if low == high:
        return value
    return f"{value} ({low or 0:,.0f} to {'?' if high is None else f'{high:,.0f}'})"


def how_drawn(drawn: Drawn) -> str:
    """Return how a source was drawn, in words."""
    if drawn.is_all:
        return f"source {drawn.source.name!r}: all of it is in the probe ({number_of(len(drawn.blocks), 'block')})"
    share = drawn.size / drawn.whole
    begin = drawn.read_bytes / drawn.stored_bytes if drawn.stored_bytes else 1.0
    read = number_of(drawn.num_files, "file")
    if drawn.read_files < drawn.num_files:
        read = f"{drawn.read_files:,} of {read}, drawn at random"
    if begin < 0.99:
        read += f"; {begin:.0%} of the bytes were read, from the beginning of each of these"
    return (
        f"source {drawn.source.name!r}: {human(drawn.size, 'B')} of {human(drawn.whole, 'B')} ({share:.1%}), "
        f"{number_of(len(drawn.blocks), 'block')} spread over {read}"
    )


def _stages(made: Forecast) -> Table:
    table = _table("stage", ("documents left", "seconds", "memory", "disk"))
    table.add_row("(read)", interval(made.read.to_json()), "", "", "")
    for stage in made.stages:
        left = interval(stage.documents.to_json()) if stage.documents else ""
        sizes = (human(stage.costs.memory_bytes, "B"), human(stage.costs.disk_bytes, "B"))
        table.add_row(stage.name, left, _seconds(stage), *sizes)
    return table


def _removals(made: Forecast) -> Table:
    """Return what each stage removes: a table of its own, in which 80 columns hold the longest reason unbroken."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage", no_wrap=True)
    table.add_column("removed, of the whole input")
    for stage in made.stages:
        if stage.removed:
            table.add_row(stage.name, reasons(stage))
    return table


def _seconds(stage: StageForecast) -> str:
    return f"{stage.costs.seconds:,.1f}"


def reasons(stage: StageForecast) -> str:
    """Return what a stage would remove, the most frequent reasons first."""
    more = len(stage.removed) - MOST_REASONS
    shown = [f"{reason} {_removed(stage.name, count)}" for reason, count in _most_frequent(stage).items()]
    return ", ".join([*shown, f"{more} others"] if more > 0 else shown)


def _most_frequent(stage: StageForecast) -> dict[str, Estimate]:
    """Return the most frequent reasons."""
    return dict(sorted(stage.removed.items(), key=lambda item: -item[1].value)[:MOST_REASONS])


def _removed(stage: str, count: Estimate) -> str:
    if stage in DUPLICATES and count.high > count.value:
        most = f"{count.high:,.0f}" if math.isfinite(count.high) else "?"
        return f"{count.value:,.0f} or more, at most {most}"
    return interval(count.to_json())


def _tokens(made: Forecast) -> Table:
    table = _table("source", ("tokens",))
    for source, tokens in made.tokens.items():
        table.add_row(source, interval(tokens.to_json()))
    return table


def _table(first: str, numbers: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _time(seconds: float) -> str:
    """Return a span of time in its two largest units."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
