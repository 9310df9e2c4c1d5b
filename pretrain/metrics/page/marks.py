"""What happened to a run, as marks on its curves: skips, rewinds, restarts, changes, what it was asked, warnings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from foundation.errors import InputError
from foundation.files import read_json
from foundation.page import Mark, number
from foundation.text import one_line
from pretrain import journal
from pretrain.json_lines import read_lines
from pretrain.metrics.page.history import History
from pretrain.run_files import ATTEMPTS, JOURNAL

MAX_MARKS = 500  # of a kind: the newest; more would be a wall
MAX_TEXT = 160


def read_marks(run_dir: Path, history: History, run: int = 0, name: str = "") -> list[Mark]:
    """Return the marks of a run, by step.

    Args:
        run_dir: its folder; a file that isn't there, or can't be read, gives none.
        history: of the same run.
        run: the place of its clock. name: stands before each text, where a page shows several.
    """
    told = list(_journal(run_dir / JOURNAL, run))
    known = {mark.step for mark in told if mark.kind == "skip"}
    told += [Mark(step, "skip", "skipped", run) for step in history.skipped.tolist() if step not in known]
    told += _restarts(run_dir / ATTEMPTS, run)
    marks: list[Mark] = []
    for kind in dict.fromkeys(mark.kind for mark in told):
        marks += sorted((mark for mark in told if mark.kind == kind), key=lambda mark: mark.step)[-MAX_MARKS:]
    named = (replace(mark, text=f"{name}: {mark.text}") if name else mark for mark in marks)
    return sorted(named, key=lambda mark: mark.step)


def _journal(path: Path, run: int) -> Iterator[Mark]:
    for line in read_lines(path):
        match line:
            case {"event": journal.SKIP, "step": int(step)}:
                yield Mark(step, "skip", _text(f"skipped: {line.get('reason', '')}"), run)
            case {"event": journal.NEW_LEVEL, "step": int(step)}:
                yield Mark(step, "level", _text(f"a new level, let through: {line.get('reason', '')}"), run)
            case {"event": journal.REWIND | journal.REPLAY as event, "at_step": int(step), "to_step": int(back)}:
                yield Mark(step, "rewind", _text(f"{event}: back to step {back}: {line.get('reason', '')}"), run)
            case {"event": journal.CHANGE, "step": int(step), "key": str(key)}:
                yield Mark(step, "change", _text(f"{key}: {line.get('old')} became {line.get('new')}"), run)
            case {"event": journal.ASKED, "at_step": int(step), "what": str(what)}:
                yield Mark(
                    step, "change", _text(f"asked by the control file: {what} {line.get('factor', '')}").rstrip(), run
                )
            case {"event": journal.DYING_LAYER, "step": int(step), "layer": str(layer)}:
                yield Mark(step, "warning", _text(f"{layer} learns nothing: its gradient stays near zero"), run)
            case {"event": journal.DIVERGING, "step": int(step), "steps": int(count)}:
                text = f"the run diverges: for {count} steps its loss has been above that of the fresh weights"
                yield Mark(step, "warning", text, run)
            case {"event": str(event), "at_step": int(step)} if event in journal.TOLD:
                yield Mark(step, "warning", journal.TOLD[event], run)


def _restarts(path: Path, run: int) -> list[Mark]:
    """Return a mark where each attempt but the last ended: the next one began there, or at a checkpoint before."""
    attempts = read_attempts(path)
    return [
        Mark(int(each["step"]), "restart", _text(f"start {place} ended: {each.get('reason') or each['status']}"), run)
        for place, each in enumerate(attempts[:-1], start=1)
        if isinstance(each.get("step"), int) and each["step"] > 0
    ]


def read_attempts(path: Path) -> list[dict[str, Any]]:
    """Return the attempts that attempts.json tells of; none where it is missing or damaged: a page needs no diary."""
    try:
        found = read_json(path)["attempts"] if path.is_file() else []
        return [each for each in found if isinstance(each, dict)]
    except (InputError, LookupError, TypeError):
        return []


def event_rows(run_dir: Path) -> list[list[str | int | float | None]]:
    """Return when each start of a run began, how it ended, after which step, why."""
    rows: list[list[str | int | float | None]] = []
    for each in read_attempts(run_dir / ATTEMPTS):
        step = each.get("step")
        rows.append(
            [
                str(each.get("started", "")),
                str(each.get("status") or "not ended"),
                None if step is None else number(step),
                _text(str(each.get("reason") or "")),
            ]
        )
    return rows


def _text(text: str) -> str:
    return one_line(text.removesuffix(": "), MAX_TEXT)
