"""The curves of one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from foundation.page import Curve, Mark, Page
from foundation.page.charts import NUM_COLORS
from pretrain.metrics.page.history import History

VALIDATION = (("val_loss", "validation"), ("train_subset_loss", "training subset"), ("val_all_loss", "all held-out"))
TIMES = {
    "times.data_s": "waiting for data",
    "times.counts_s": "counts of all ranks",
    "times.forward_backward_s": "forward and backward",
    "times.watch_s": "looking into steps",
    "times.optimizer_s": "optimizer",
    "times.other_s": "other",
}
# of an evaluation's fields: which text, and what is measured
SPLITS = {"val_all_": "all held-out", "val_": "validation", "train_subset_": "training subset"}
TITLES = {"loss": "Loss of each source", "perplexity": "Perplexity", "bits_per_byte": "Bits per byte"}
UNITS = {"Loss of each source": "nats per token", "Perplexity": "exp(loss)", "Bits per byte": "bits per byte"}
# fields that a line may have
SOURCE_LOSSES = "source_losses"
MEMORY = {"host_memory_bytes": "host, rank 0", "device_memory_bytes": "device, rank 0"}


def add_curves(page: Page, history: History, marks: Sequence[Mark]) -> None:
    """Add what is seen of a run as curves; the first section holds what all of them hang on."""
    columns, steps, kept = history.columns, history.steps, history.kept
    page.section("Loss")
    page.curve_bar([history.clock])
    lines = [Curve("training", steps, columns["loss"], kept, color=0)]
    for color, (name, label) in enumerate(VALIDATION, start=1):
        at, values = history.evaluations(name)
        if len(at):
            lines.append(Curve(label, at, values, dots=True, color=color))
    page.curves(lines, "step", "nats per token", marks=marks)
    _by_source(page, history)
    page.section("Gradient and learning rate")
    norms = [Curve("gradient norm", steps, columns["grad_norm"], kept, color=0)]
    page.curves(norms, "step", "gradient norm before clipping", log_y=True, marks=marks)
    page.curves([Curve("learning rate", steps, columns["lr"], exact=True, color=4)], "step", "learning rate")
    page.section("Speed")
    speed = [Curve("tokens per second", steps, columns["tokens_per_s"], color=2)]
    page.curves(speed, "step", "tokens per second")
    times = [
        Curve(label, steps, columns[name], color=color)
        for color, (name, label) in enumerate(TIMES.items())
        if name in columns and (columns[name] > 0).any()  # a part that took no time is none
    ]
    if times:
        page.curves(times, "step", "seconds", log_y=True, title="Where a step's time goes")
    memory = [
        Curve(label, steps, columns[name] / 2**30, exact=True, color=color)
        for color, (name, label) in enumerate(MEMORY.items())
        if name in columns and np.isfinite(columns[name]).any()
    ]
    if memory:
        page.curves(memory, "step", "GiB", title="Memory")


def _by_source(page: Page, history: History) -> None:
    """Add the loss of each source, where lines tell of several."""
    names = [name for name in history.columns if name.startswith(f"{SOURCE_LOSSES}.")]
    them = [
        Curve(name.removeprefix(f"{SOURCE_LOSSES}."), history.steps, history.columns[name], history.kept)
        for name in names
    ]
    for first in range(0, len(them) if len(them) > 1 else 0, NUM_COLORS):
        title = "Training loss of each source" if first == 0 else ""
        page.curves(them[first : first + NUM_COLORS], "step", "nats per token", title=title)


def add_evaluations(page: Page, history: History, names: Sequence[str]) -> None:
    """Add charts of each measure, its sources together as far as there are colors, but for the losses above.

    Args:
        names: of the evaluations' numbers, `measure` or `measure/source`.
    """
    shown = {name for name, _ in VALIDATION}
    charts: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        measure, _, source = name.partition("/")
        split, title = next(((split, title) for split, title in _known(measure)), ("", measure))
        if name not in shown:
            charts.setdefault(title, []).append((f"{split}, {source}" if split and source else split or source, name))
    for title in sorted(charts, key=lambda title: list(UNITS).index(title) if title in UNITS else len(UNITS)):
        lines = [
            Curve(label or title, *history.evaluations(name), dots=True)
            for label, name in charts[title]
            if len(history.evaluations(name)[0]) > 1
        ]
        for first in range(0, len(lines), NUM_COLORS):
            part = lines[first : first + NUM_COLORS]
            page.curves(part, "step", UNITS.get(title, title), title=title if first == 0 else "")


def _known(measure: str) -> Iterator[tuple[str, str]]:
    """Yield the split and the title of a measure such as `val_loss`; nothing for a name of somebody's own."""
    for prefix, split in SPLITS.items():
        if measure.startswith(prefix) and (title := TITLES.get(measure.removeprefix(prefix))):
            yield split, title
