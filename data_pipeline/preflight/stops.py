"""What would stop the run: its limits on what becomes of the documents, put to the books of the forecast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from data_pipeline.dedup.dedup import Dedup
from data_pipeline.ledger import Book
from data_pipeline.limits import BadLimit, DuplicateLimit, RuleLimit
from data_pipeline.output_dir import QUARANTINE, REMOVED
from data_pipeline.preflight.forecast import DUPLICATES
from data_pipeline.stages.clean import Clean
from data_pipeline.stages.filter import Filter
from foundation.errors import GroundworkError


def stops(books: list[tuple[str, Book]], probe_dir: Path, bad: BadLimit, of_rule: RuleLimit, dedup: Dedup) -> list[str]:
    """Return what each limit that is passed would say, in the order of the stages.

    Args:
        books: stage and its book, as foretold for the whole run.
        probe_dir: the output folder of the probe, which holds the documents that are shown.
        bad: the limit on unreadable records.
        of_rule: the limit on what one rule takes.
        dedup: its max_loss_frac is the limit on duplicates.
    """
    by_stage: Mapping[str, Book] = dict(books)
    passed: list[str] = []

    def ask(stage: str, check: Callable[[], None]) -> None:
        try:
            check()
        except GroundworkError as error:
            passed.append(f"stage {stage}: {error}")

    ask(Clean.name, lambda: bad.check(by_stage[Clean.name], probe_dir / QUARANTINE / Clean.name))
    if Filter.name in by_stage:
        removed = probe_dir / REMOVED / Filter.name
        ask(Filter.name, lambda: of_rule.check(by_stage[Filter.name], removed))
    copies = [(stage, book) for stage, book in books if stage in DUPLICATES]
    if copies:
        limit = DuplicateLimit(dedup.max_loss_frac)
        ask(copies[-1][0], lambda: limit.check(copies, probe_dir / REMOVED))
    return passed
