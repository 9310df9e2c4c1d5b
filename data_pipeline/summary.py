"""What a finished run prints: the way of the documents stage by stage, and where everything is, what comes next."""

from __future__ import annotations

import shlex
import sys

from rich.table import Table
from rich.text import Text

from data_pipeline.ledger import listed, total
from data_pipeline.output_dir import QUARANTINE
from data_pipeline.pipeline import Result
from data_pipeline.report.mixture import mixed_table, warn_of_truth
from data_pipeline.report.tables import console, print_tables
from data_pipeline.report.tokens import tokens_table
from data_pipeline.shards.manifest import SPLITS
from data_pipeline.stages.stage import Finished
from foundation.progress import human

MOST_REASONS = 4  # of a stage; the page and the ledger have all


def print_summary(result: Result) -> None:
    """Print the closing tables of a run to stderr."""
    mixed = result.mixed
    print_tables(_stages(result), _data(result), tokens_table(result.manifest), *(mixed_table(mixed) if mixed else []))
    for warning in (each for done in result.stages for each in done.facts.get("warnings", [])):
        print(f"warning: {warning}", file=sys.stderr)
    for alarm in result.alarms:
        print(f"warning: tokens: {alarm}", file=sys.stderr)
    if mixed:
        warn_of_truth(mixed)
    for path in _paths(result):
        console().print(path, soft_wrap=True)  # a wrapped path can't be copied


def _stages(result: Result) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage", no_wrap=True)
    for name in ("in", "out", "seconds", "memory"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("removed; notes", overflow="fold")  # the last one alone is wrapped
    for done in result.stages:
        table.add_row(done.name, *_row(done))
    return table


def _row(done: Finished) -> tuple[str, str, str, str, str]:
    if done.is_off:
        return "", "", "off", "", ""
    account = total(done.book)
    numbers = (f"{account.num_in:,}", f"{account.num_out:,}") if done.book else ("", "")
    seconds = f"{done.timing['seconds']:.1f}" if done.redone else "kept"
    created = f"created {listed(account.created, MOST_REASONS)}" if account.created else ""
    said = (listed(account.reasons(), MOST_REASONS), created, str(done.facts.get("note", "")))
    memory = human(done.timing["memory_bytes"], "B") if "memory_bytes" in done.timing else ""
    return *numbers, seconds, memory, "; ".join(filter(None, said))


def _data(result: Result) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("split", no_wrap=True)
    table.add_column("source", overflow="fold")
    for name in ("documents", "tokens", "text", "bytes/token", "shards"):
        table.add_column(name, justify="right", no_wrap=True)
    for split in SPLITS:
        for source, held in result.manifest.splits[split].items():
            of_text = held.tokens - held.documents  # the end-of-text tokens stand for no text
            ratio = f"{held.utf8_bytes / of_text:.2f}" if of_text else ""
            text = human(held.utf8_bytes, "B")
            numbers = f"{held.documents:,}", f"{held.tokens:,}", text, ratio, str(len(held.shards))
            table.add_row(split, source, *numbers)
    return table


def _paths(result: Result) -> list[Text]:
    quarantine = result.output_dir / QUARANTINE
    lines = [f"data:       {result.output_dir}", f"page:       {result.report}"]
    if quarantine.is_dir():
        lines.append(f"quarantine: {quarantine}")
    folder = shlex.quote(str(result.output_dir))
    lines.append(f"train:      torchrun launch/train.py model=gpt_small data.path={folder}")
    return [Text(line) for line in lines]
