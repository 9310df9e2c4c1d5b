"""What a finished run prints: the way of the documents stage by stage, and where everything is."""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from data_pipeline.ledger import Account
from data_pipeline.pipeline import Finished, Result
from data_pipeline.shards.manifest import SPLITS
from foundation.progress import human

MOST_REASONS = 4  # of a stage; the page and the ledger have all


def summary(result: Result) -> RenderableType:
    """Return the closing table of a run."""
    return Group(_stages(result), _data(result), *_paths(result))


def _stages(result: Result) -> Table:
    table = Table(title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name, justify in (("stage", "left"), ("in", "right"), ("out", "right"), ("seconds", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("taken out")
    for done in result.stages:
        total = sum(done.book.values(), Account())
        seconds = f"{done.timing['seconds']:.1f}" if done.redone else "kept"
        numbers = (f"{total.num_in:,}", f"{total.num_out:,}") if done.book else ("", "")
        table.add_row(done.name, *numbers, seconds, _taken(done, total))
    return table


def _taken(done: Finished, total: Account) -> str:
    reasons = Counter({f"{reason} (unreadable)": count for reason, count in total.quarantined.items()}) + total.dropped
    shown = [f"{reason} {count:,}" for reason, count in reasons.most_common(MOST_REASONS)]
    others = reasons.total() - sum(count for _, count in reasons.most_common(MOST_REASONS))
    if others:
        shown.append(f"others {others:,}")
    return ", ".join(shown) or str(done.facts.get("note", ""))


def _data(result: Result) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("split", "source"):
        table.add_column(name)
    for name in ("documents", "tokens", "text", "bytes/token", "shards"):
        table.add_column(name, justify="right")
    for split in SPLITS:
        for source, held in result.manifest.splits[split].items():
            of_text = held.tokens - held.documents  # the end-of-text tokens stand for no text
            ratio = f"{held.utf8_bytes / of_text:.2f}" if of_text else ""
            text = human(held.utf8_bytes, "B")
            numbers = f"{held.documents:,}", f"{held.tokens:,}", text, ratio, str(len(held.shards))
            table.add_row(split, source, *numbers)
    return table


def _paths(result: Result) -> list[Text]:
    quarantine = result.output_dir / "quarantine"
    lines = [f"data:    {result.output_dir}", f"page:    {result.report}"]
    if quarantine.is_dir():
        lines.append(f"unread:  {quarantine}")
    return [Text(line) for line in lines]
