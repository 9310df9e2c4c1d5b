"""report.html of a run: what it learnt, how fast, what was skipped, what it wrote, and the config that made it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from foundation.config.compose import read_config
from foundation.files import read_json
from foundation.page import Bar, Page, Sample, number
from pretrain.json_lines import read_lines
from pretrain.metrics.console import clock
from pretrain.metrics.page.epochs import add_epochs
from pretrain.metrics.page.histograms import add_histograms
from pretrain.metrics.page.history import LAST_STEPS, History, over_last, read_history
from pretrain.metrics.page.layers import add_layers, read_layers
from pretrain.metrics.page.learning import add_curves, add_evaluations
from pretrain.metrics.page.ledger import UNSEEN_STEPS, Ledger, read_ledger
from pretrain.metrics.page.marks import event_rows, read_marks
from pretrain.metrics.page.origin import add_origin, read_about
from pretrain.metrics.page.points import add_points
from pretrain.metrics.page.projections import add_projections
from pretrain.metrics.page.ways_back import add_ways_back, passed_over
from pretrain.metrics.timing import step_time
from pretrain.run_files import ABOUT, CONFIG, DATAPOINTS, JOURNAL, METRICS, REPORT, SAMPLES, STATUS, WATCH
from pretrain.types import Status

MFU = (
    "MFU: FLOPs per token as the model's flops_per_token counts them (pretrain.model.transformer.Transformer: "
    "6 N + 12 L D T, N parameters in matrix products, L layers of width D, T tokens per sequence; PaLM, "
    "arXiv:2204.02311, appendix B) over the peak of the devices in dense bfloat16, by their data sheets."
)
MAX_SAMPLES = 60
TOLD_FRAC = 0.01  # of the time, that is worth a word
MAX_ROWS, LONG = 200, 12  # of a table; longer ones are folded


# of an evaluation's fields, those that are read at a glance
EVALUATED = {
    "val_loss": "Validation loss",
    "train_subset_loss": "Training subset loss",
    "val_bits_per_byte": "Validation bits per byte",
    "val_all_loss": "Validation loss, all held-out text",
    "val_all_bits_per_byte": "Validation bits per byte, all held-out text",
}


def write_run_report(run_dir: Path, about: dict[str, str] | None = None, path: Path | None = None) -> Path:
    """Write report.html from the files of the run, whatever of them there is.

    Args:
        run_dir: runs/<run_name>.
        about: what the run is of, label -> value.
        path: of the page; by default report.html there.
    Returns:
        The page's path.
    """
    history = read_history(run_dir / METRICS)
    config = read_config(run_dir / CONFIG) if (run_dir / CONFIG).is_file() else {}
    status = read_json(run_dir / STATUS) if (run_dir / STATUS).is_file() else {}
    page = Page(str(config.get("run_name") or run_dir.name), _subtitle(status))
    told = read_about(run_dir / ABOUT)
    _glance(page, history, config, about or told.get("facts", {}))
    _goodput(page, read_ledger(run_dir, history))  # a start that came to no step took time as well
    if len(history.steps):
        add_curves(page, history, read_marks(run_dir, history))
        add_epochs(page, history)
        _evaluations(page, history)
        _skips(page, history, run_dir / JOURNAL)
        add_ways_back(page, run_dir, history)
    add_layers(page, read_layers(run_dir / WATCH))
    add_histograms(page, run_dir / WATCH)
    add_projections(page, run_dir / WATCH)
    _samples(page, run_dir / SAMPLES)
    add_points(page, run_dir / DATAPOINTS)
    _starts(page, run_dir, len(history.steps) > 0)
    add_origin(page, told, config)
    return page.write(path or run_dir / REPORT)


def _subtitle(status: dict[str, Any]) -> str:
    if not status:
        return "Not ended: still training, or killed."
    told = Status(status["status"]).told(number(status["step"]), str(status["reason"]))
    return told[0].upper() + told[1:]


def _glance(page: Page, history: History, config: dict[str, Any], about: dict[str, str]) -> None:
    page.section("At a glance")
    if not len(history.steps):
        page.text("No step was written yet.")
        return
    columns = history.columns
    facts: dict[str, str | int | float | None] = {
        "Steps": int(history.steps[-1]),
        "Tokens seen": int(columns["tokens_seen"][-1]),
        **{f"Epochs of {name}": float(f"{count:.3g}") for name, count in history.epochs.items()},
        f"Training loss, {over_last([history])}": history.last_mean("loss", LAST_STEPS),
    }
    for name, label in EVALUATED.items():
        values = [line[name] for line in history.evaluated if isinstance(line.get(name), int | float)]
        if values:
            facts[label] = float(values[-1])
            if min(values) < values[-1]:
                facts[f"{label}, best"] = float(min(values))
    facts["Tokens per second"] = round(float(columns["tokens_seen"][-1] / max(np.nansum(columns["step_time_s"]), 1e-9)))
    facts["Time of training"] = clock(float(np.nansum(columns["step_time_s"])))
    facts["Median step"] = step_time(float(np.nanmedian(columns["step_time_s"])))
    if np.isfinite(columns["mfu"]).any():
        facts["Model FLOPs utilisation (MFU)"] = f"{float(np.nanmedian(columns['mfu'])):.1%}"
    facts["Steps skipped"] = len(history.skipped)
    if batches := passed_over(history):
        facts["Batches passed over"] = batches
    page.facts(facts)
    page.facts({**about, "Page written": time.strftime("%Y-%m-%d %H:%M")})
    if np.isfinite(columns["mfu"]).any():
        page.text(MFU)
    trainer = {name: value for name, value in dict(config.get("trainer") or {}).items() if _is_fact(value)}
    page.heading("Plan")
    page.facts({**trainer, "seed": str(config.get("seed"))})


def _goodput(page: Page, ledger: Ledger | None) -> None:
    if ledger is None or not ledger.wall_s:
        return
    page.section("Goodput")
    page.facts(
        {
            "Goodput": f"{ledger.goodput:.1%}",
            "Time since the first start": clock(ledger.wall_s),
            "Starts": ledger.num_starts,
            "Starts that failed": ledger.num_failures,
        }
    )
    page.bars(
        [
            Bar(part, max(seconds, 0.0), note=f"{clock(max(seconds, 0.0))}, {seconds / ledger.wall_s:.1%}")
            for part, seconds in ledger.seconds.items()
            if seconds > 0.0005 * ledger.wall_s
        ],
        ledger.wall_s,
    )
    hidden_s = abs(ledger.unexplained_s)
    page.text(
        "Goodput is the compute that counts over the time since the first start, without that in which it was stopped "
        f"on purpose. Times are rank 0's. What a killed start did after its last sign ({UNSEEN_STEPS} steps at most, "
        "or a save or evaluation under way) is among what it was down."
        + (f" {clock(hidden_s)} of `other` is in no record." if hidden_s > TOLD_FRAC * ledger.wall_s else "")
    )


def _evaluations(page: Page, history: History) -> None:
    if names := history.evaluated_names():
        page.section("Evaluations")
        add_evaluations(page, history, names)
        if len(history.evaluated) > MAX_ROWS:
            page.text(f"The last {MAX_ROWS} of {len(history.evaluated):,} in {METRICS}.")
        rows = [[line["step"], *(line.get(name) for name in names)] for line in history.evaluated[-MAX_ROWS:]]
        if len(rows) > LONG:
            page.folded_table(f"{len(rows)} evaluations", ["step", *names], rows)
        else:
            page.table(["step", *names], rows)


def _skips(page: Page, history: History, journal: Path) -> None:
    if not len(history.skipped):
        return
    page.section("Skipped steps")
    page.text("Steps that the guard kept from weights, moments and counters.")
    columns = history.columns
    places = np.flatnonzero(columns["skipped"] == 1)
    rows = [
        [int(history.steps[i]), int(columns["data_step"][i]), columns["loss"][i].item(), columns["grad_norm"][i].item()]
        for i in places[:MAX_ROWS]
    ]
    page.table(["step", "data step", "loss", "gradient norm"], rows)
    if len(places) > MAX_ROWS:
        page.text(f"{len(places) - MAX_ROWS:,} more are in {journal.name}.")


def _starts(page: Page, run_dir: Path, has_steps: bool) -> None:
    rows = event_rows(run_dir)
    if len(rows) > 1 or (rows and not has_steps):
        page.section("Starts")
        page.table(["began", "ended", "after step", "why"], rows)


def _samples(page: Page, path: Path) -> None:
    records = list(read_lines(path))
    if not records:
        return
    page.section("Samples")
    if len(records) > MAX_SAMPLES:
        page.text(f"The last {MAX_SAMPLES} of {len(records):,} in {path.name}.")
    shown = [
        Sample(
            f"step {number(record.get('step'))}",
            str(record.get("prompt", "")),
            f"{record.get('prompt', '')}{record.get('text', '')}",
        )
        for record in reversed(records[-MAX_SAMPLES:])
    ]
    page.samples(shown, open_first=True)


def _is_fact(value: Any) -> bool:
    return value is not None and isinstance(value, int | float)
