"""Which global batches a run passes over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pretrain.journal import REWIND, SKIP, TAKEN
from pretrain.json_lines import read_lines
from pretrain.plan import Plan
from pretrain.stability.errors import JournalRefused

LEFT_OUT = (REWIND, SKIP, TAKEN)  # events of a journal whose samples a run did not learn from


class PassedOver:
    """Half-open spans of global batches, `[first, end)`, that no step takes."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []  # rising, none touches the next

    def add(self, first: int, end: int) -> None:
        """Pass over one more span; it may overlap others."""
        spans: list[tuple[int, int]] = []
        for start, stop in sorted([*self._spans, (first, end)]):
            if spans and start <= spans[-1][1]:
                spans[-1] = spans[-1][0], max(spans[-1][1], stop)
            else:
                spans.append((start, stop))
        self._spans = spans

    def batch_from(self, data_step: int) -> int:
        """Return the first batch from `data_step` on that is taken."""
        return next((end for first, end in self._spans if first <= data_step < end), data_step)


def order_of(plan: Plan) -> dict[str, int]:
    """Return what decides which text the number of a sample stands for, by setting; the last one tells of the data."""
    return {"seed": plan.seed, "trainer.seq_len": plan.seq_len, "samples an epoch": plan.samples_per_epoch}


def samples_of(plan: Plan, first: int, end: int) -> dict[str, Any]:
    """Return which samples the global batches `[first, end)` hold, as fields of a journal's line."""
    size = plan.global_batch_size
    return {"first_sample": first * size, "last_sample": end * size - 1, "order": order_of(plan)}


def require_journal(journal: Path) -> None:
    """Raise where there is none.

    Raises:
        JournalRefused: names it.
    """
    if not journal.is_file():
        raise JournalRefused(f"spike.skip_windows: {journal} is not there; name the journal.jsonl of another run")


def windows_of(journal: Path, plan: Plan) -> list[list[int]]:
    """Return the global batches that hold what another run skipped or passed over, each `[first, end)`.

    Args:
        journal: its journal.jsonl.
        plan: of this run; the other's batches may be of another size.
    Raises:
        JournalRefused: it is not there, tells of none, or is of a run whose samples are other texts.
    """
    require_journal(journal)
    batch_size, spans = plan.global_batch_size, list[list[int]]()
    for line in read_lines(journal):
        if line.get("event") in LEFT_OUT:
            _require_same_order(journal, line, order_of(plan))
        if line.get("event") in LEFT_OUT and "first_sample" in line:
            spans.append(_batches_of(int(line["first_sample"]), int(line["last_sample"]), batch_size))
        elif line.get("event") in LEFT_OUT:
            theirs = int(line.get("batch_size", batch_size))  # a version that did not say took its own for everyone's
            spans += [_batches_of(first * theirs, end * theirs - 1, batch_size) for first, end in line["windows"]]
    if not spans:
        raise JournalRefused(
            f"spike.skip_windows: {journal} tells of no step that was skipped or passed over; leave it out"
        )
    return spans


def _require_same_order(journal: Path, line: dict[str, Any], here: dict[str, int]) -> None:
    there = line.get("order", here)  # a version that did not say
    for name, value in here.items():
        if there[name] != value:
            raise JournalRefused(
                f"spike.skip_windows: {journal} is of a run with {name}={there[name]}, this one has {value}: its "
                "samples are other texts; give both the same data, seed and trainer.seq_len, or leave it out"
            )


def _batches_of(first_sample: int, last_sample: int, batch_size: int) -> list[int]:
    """Return the global batches, `[first, end)`, that hold any of these samples."""
    return [first_sample // batch_size, last_sample // batch_size + 1]
