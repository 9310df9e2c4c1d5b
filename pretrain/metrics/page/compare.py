"""Several runs on one page: curves over each other, the keys that differ, how each closed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foundation.config.compose import read_config
from foundation.page import Curve, Page
from pretrain.metrics.console import clock
from pretrain.metrics.page.history import LAST_STEPS, History, over_last, read_history
from pretrain.metrics.page.ledger import read_ledger
from pretrain.metrics.page.marks import read_marks
from pretrain.metrics.page.origin import flat, read_about
from pretrain.metrics.timing import step_time
from pretrain.run_files import ABOUT, CONFIG, METRICS

LOWER_IS_BETTER = ("loss", "bits_per_byte")
TARGET = "_target_"
UNSEEN = ("run_name", "runs_dir")  # differ by nature


@dataclass(frozen=True, slots=True)
class Compared:
    """A run among others: its name on the page, its metrics, its config."""

    name: str
    folder: Path
    history: History
    config: dict[str, Any]


def write_comparison(folders: Sequence[Path], path: Path) -> Path:
    """Write a page that sets runs side by side.

    Args:
        folders: of the runs; the first is what the others are compared with.
        path: of the page.
    """
    runs = [
        Compared(name, folder, read_history(folder / METRICS), _config(folder))
        for name, folder in zip(names_of(folders), folders, strict=True)
    ]
    page = Page(" and ".join(run.name for run in runs[:3]) + (" ..." if len(runs) > 3 else ""), _subtitle(runs))
    page.section("How they closed")
    page.table(*_closing(runs))
    for text in not_comparable([read_about(folder / ABOUT) for folder in folders]):
        page.text(text)
    page.section("What differs in their configs")
    _differences(page, runs)
    _curves(page, runs)
    return page.write(path)


def names_of(folders: Sequence[Path]) -> list[str]:
    """Return as short a name as tells each folder from the others."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            break
    return names


def not_comparable(abouts: Sequence[dict[str, Any]]) -> list[str]:
    """Return which figures of the runs are of different things, in words.

    Args:
        abouts: what about.json says of each; one that says nothing is taken to be like the others.
    """
    data = [about["data"] for about in abouts if about.get("data")]
    tokenizers = {each.get("hashes", {}).get("tokenizer.json") for each in data}
    held_out = {
        tuple(
            sorted((source["source"], source["hash"]) for source in each.get("sources", ()) if source["split"] == "val")
        )
        for each in data
    }
    told = []
    if len(tokenizers) > 1:
        told.append(
            "Their tokenizers differ: a loss or perplexity is per token, so these can't be compared; bits per byte "
            "can, of the same text."
        )
    if len(held_out) > 1:
        told.append("Their held-out texts differ: what validation measures is not the same.")
    return told


def _config(folder: Path) -> dict[str, Any]:
    return dict(read_config(folder / CONFIG)) if (folder / CONFIG).is_file() else {}


def _subtitle(runs: Sequence[Compared]) -> str:
    return f"{len(runs)} runs side by side, written {time.strftime('%Y-%m-%d %H:%M')}"


def _closing(runs: Sequence[Compared]) -> tuple[list[str], list[list[str | int | float | None]]]:
    """Return a column a run, a row a figure."""
    names = list(dict.fromkeys(name for run in runs for name in run.history.evaluated_names()))
    lowest = [name for name in names if name.partition("/")[0].endswith(LOWER_IS_BETTER)]
    loss = f"training loss, {over_last([run.history for run in runs])}"
    labels = [
        *(loss if figure == LOSS else figure for figure in _FIGURES),
        GOODPUT,
        *names,
        *(f"lowest {name}" for name in lowest),
    ]
    rows: list[list[str | int | float | None]] = [[label] for label in labels]
    for run in runs:
        values = [figure(run.history) if len(run.history.steps) else None for figure in _FIGURES.values()]
        ledger = read_ledger(run.folder, run.history)
        values.append(None if ledger is None else f"{ledger.goodput:.1%}")
        evaluated = {name: each for name in names if len(each := run.history.evaluations(name)[1])}
        values += [float(evaluated[name][-1]) if name in evaluated else None for name in names]
        values += [float(evaluated[name].min()) if name in evaluated else None for name in lowest]
        for row, value in zip(rows, values, strict=True):
            row.append(value)
    return ["", *(run.name for run in runs)], rows


LOSS = "training loss"
_FIGURES: dict[str, Callable[[History], str | int | float | None]] = {
    "steps": lambda it: int(it.steps[-1]),
    "target tokens": lambda it: int(it.columns["tokens_seen"][-1]),
    LOSS: lambda it: it.last_mean("loss", LAST_STEPS),
    "time of training": lambda it: clock(float(np.nansum(it.columns["step_time_s"]))),
    "median step": lambda it: step_time(float(np.nanmedian(it.columns["step_time_s"]))),
    "tokens per second": lambda it: round(
        float(it.columns["tokens_seen"][-1] / max(np.nansum(it.columns["step_time_s"]), 1e-9))
    ),
    "steps skipped": lambda it: len(it.skipped),
}
GOODPUT = "goodput"


def _differences(page: Page, runs: Sequence[Compared]) -> None:
    rows = _other_objects("", [run.config or _MISSING for run in runs])
    trees = [dict(flat(run.config)) for run in runs]
    objects = {row[0] for row in rows}
    inside = tuple(f"{key}." for key in objects)
    keys = [key for key in dict.fromkeys(key for tree in trees for key in tree) if key not in UNSEEN]
    differing = [
        [key, *(_typed(tree[key]) if key in tree else "–" for tree in trees)]
        for key in keys
        if key not in objects and any(tree.get(key, _MISSING) != trees[0].get(key, _MISSING) for tree in trees[1:])
    ]
    rows += [row for row in differing if not row[0].startswith(inside)]
    of_objects = [row for row in differing if row[0].startswith(inside) and not row[0].endswith(f".{TARGET}")]
    if missing := [run.name for run in runs if not run.config]:
        page.text(f"No {CONFIG} in {', '.join(missing)}.")
    if rows:
        page.table(["key", *(run.name for run in runs)], rows)
    if of_objects:
        page.folded_table(f"{len(of_objects)} keys of these", ["key", *(run.name for run in runs)], of_objects)
    if not rows:
        page.text("No key differs, but for the runs' names.")


def _other_objects(key: str, nodes: Sequence[Any]) -> list[list[str]]:
    """Return a row for each object of the configs that one of them lacks or has of another class: key, classes.

    What is inside of such a one has its own keys in each run.

    Args:
        key: of the nodes. nodes: of each run, at the same place; _MISSING of a run without a config.
    """
    mappings = [node if isinstance(node, dict) else {} for node in nodes]
    targets = [mapping.get(TARGET) for mapping in mappings]
    told = {target for target, node in zip(targets, nodes, strict=True) if node is not _MISSING}
    if len(told) > 1:
        return [[key, *("–" if target is None else str(target).rpartition(".")[2] for target in targets)]]
    unknown = [_MISSING if node is _MISSING else None for node in nodes]
    rows = []
    for name in dict.fromkeys(name for mapping in mappings for name in mapping):
        inner = [mapping.get(name, none) for mapping, none in zip(mappings, unknown, strict=True)]
        rows += _other_objects(f"{key}.{name}" if key else name, inner)
    return rows


def _typed(value: object) -> str:
    """Return a value as it is typed on a command line."""
    return str(value) if isinstance(value, str) else json.dumps(value)


_MISSING = object()
_CHARTS = (
    ("Training loss", "loss", "nats per token", False, True),
    ("Gradient norm", "grad_norm", "gradient norm before clipping", True, True),
    ("Learning rate", "lr", "learning rate", False, False),
    ("Speed", "tokens_per_s", "tokens per second", False, True),
)


def _curves(page: Page, runs: Sequence[Compared]) -> None:
    page.section("Curves")
    page.curve_bar([run.history.clock for run in runs])
    marks = [mark for place, run in enumerate(runs) for mark in read_marks(run.folder, run.history, place, run.name)]
    for title, column, y_label, log_y, noisy in _CHARTS:
        them = [
            Curve(
                run.name, run.history.steps, run.history.columns[column], run.history.kept, exact=not noisy, run=place
            )
            for place, run in enumerate(runs)
            if len(run.history.steps)
        ]
        page.curves(them, "step", y_label, log_y, marks if noisy else (), title)
        if column == "loss":
            _evaluated(page, runs)


def _evaluated(page: Page, runs: Sequence[Compared]) -> None:
    for name in dict.fromkeys(name for run in runs for name in run.history.evaluated_names()):
        them = [
            Curve(run.name, *run.history.evaluations(name), dots=True, color=place, run=place)
            for place, run in enumerate(runs)
            if len(run.history.evaluations(name)[0])
        ]
        page.curves(them, "step", name, title=name)
