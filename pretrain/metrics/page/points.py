"""Single tokens of fixed sequences, from datapoints.jsonl: what the model says of each, over the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foundation.page import Page, Shade
from foundation.page.page import Cell
from foundation.text import visible
from pretrain.json_lines import read_lines

MAX_LOOKS = 6  # columns: the first, the last, and some between
MAX_SEQUENCES, MAX_TOKENS = 4, 128  # of each split; of each sequence
TARGET = "target"  # the kind of a position that has one


def add_points(page: Page, path: Path) -> None:
    """Add a table of each sequence: a row a token, the probability of its target at some looks of the run.

    Args:
        path: of the file; a line is one sequence at one step.
    """
    steps = sorted({int(line["step"]) for line in read_lines(path) if isinstance(line.get("step"), int)})
    if not steps:
        return
    shown = [steps[round(place * (len(steps) - 1) / (MAX_LOOKS - 1))] for place in range(MAX_LOOKS)]
    shown = list(dict.fromkeys(shown))
    page.section("Data points")
    page.text(
        "A row a token of a few fixed sequences. The probability that the model gives the target after so many steps "
        "is shaded: the darker, the likelier. Behind it, what the model holds likeliest now."
    )
    for (split, number), lines in _sequences(path, set(shown)).items():
        last = lines[max(lines)]
        headers = ["token", "target", *(f"step {step:,}" for step in lines), "likeliest now", "its probability"]
        remark = f"{len(last['inputs'])} tokens"
        page.token_table(f"{split}, sequence {number}", remark, headers, _rows(lines, last))


def _sequences(path: Path, steps: set[int]) -> dict[tuple[str, int], dict[int, dict[str, Any]]]:
    """Return (split, number) -> step -> line, of the first sequences of each split."""
    found: dict[tuple[str, int], dict[int, dict[str, Any]]] = {}
    for line in read_lines(path):
        if line.get("step") in steps and line.get("sequence", 0) < MAX_SEQUENCES:
            found.setdefault((str(line.get("split", "")), int(line.get("sequence", 0))), {})[line["step"]] = line
    return dict(sorted(found.items()))


def _rows(lines: dict[int, dict[str, Any]], last: dict[str, Any]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for place, token in enumerate(last["inputs"][:MAX_TOKENS]):
        kind = _at(last, "kinds", place) or TARGET
        row: list[Cell] = [drawn(token), drawn(_at(last, "targets", place)) if kind == TARGET else kind]
        row += [_probability(_at(line, "target_probs", place)) for line in lines.values()]
        row += [drawn(_at(last, "predictions", place)), _probability(_at(last, "prediction_probs", place))]
        rows.append(row)
    return rows


def _at(line: dict[str, Any], name: str, place: int) -> Any:
    values = line.get(name, ())
    return values[place] if place < len(values) else None


def _probability(value: Any) -> Cell:
    if not isinstance(value, int | float):
        return "–"
    # by the root: what lies between a hundredth and a tenth is where a model learns
    return Shade(f"{value:.3f}" if value >= 0.0005 else f"{value:.0e}", max(float(value), 0.0) ** 0.5)


def drawn(token: Any) -> str:
    """Return a token with its blanks in sight."""
    return "–" if token is None else visible(str(token)).replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·")
