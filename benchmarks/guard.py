"""The guard against published rules for loss spikes: what each catches, what it skips of runs that go well, its cost.

    OMP_NUM_THREADS=1 python benchmarks/guard_traces.py data/pydocs traces --repeats 3
    OMP_NUM_THREADS=1 python benchmarks/guard.py data/pydocs traces --peer-dir peers --out docs/benchmarks/guard_cpu.md

First recorded runs (guard_traces.py) are replayed through every rule, without a fault and with faults at seeded places
(guard_replay.py). Then a few runs are really struck (guard_live.py). Last the time that a rule takes of a step. `peers`
holds clones of OLMo-core, llm-foundry and ZClip: the rules as written down here are held against their own classes, and
these are what is timed.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from guard_live import LIVE_FAULTS, Lived, live
from guard_peers import PEERS
from guard_replay import AFTER, FAULTS, KINDS, Found, Kind, Ours, places_of, replay
from guard_traces import Trace, read_traces
from table import commit_of, measured_with, ratio, spread, table

from pretrain.types import Record

REPOSITORY = Path(__file__).resolve().parent.parent
FORMER = "groundwork, a norm of 3 medians is a spike"
BLOCK, WARM = 100, 300  # steps that are timed at a stretch; steps before
EQUAL = 1e-5  # of two factors, one computed in float32


def replay_all(traces: list[Trace], places: int, seed: int) -> dict[str, dict[str, Found]]:
    """Return what was found, by rule and trace."""
    former = Kind(lambda steps: Ours(steps, min_norm_ratio=3.0, min_norm_jump=1.0), ("loss", "norm"))
    found: dict[str, dict[str, Found]] = {}
    for name, kind in {**KINDS, FORMER: former}.items():
        for trace in traces:
            here = found.setdefault(name, {}).setdefault(trace.name, Found())
            replay(trace, kind, {} if name == FORMER else places_of(trace, places, seed), seed, here)
    return found


def clean_table(traces: list[Trace], found: dict[str, dict[str, Found]]) -> str:
    """Return what rules do to runs without a fault."""
    skipping = [name for name, kind in {**KINDS, FORMER: None}.items() if kind is None or not kind.scales]
    rows = [["run", "seeds", "steps", "norms up to", *skipping]]
    for about, group in itertools.groupby(traces, lambda trace: trace.about):
        alike = list(group)
        steps = sum(len(trace.losses) for trace in alike)
        tops = ", ".join(f"{max(trace.norms[64:]) / statistics.median(trace.norms):.0f}" for trace in alike)
        cells = [_skips([found[name][trace.name] for trace in alike]) for name in skipping]
        rows.append([about, f"{len(alike)}", f"{steps:,}", f"{tops} medians", *cells])
    of_all = [list(found[name].values()) for name in skipping]
    per_1000 = [1000 * sum(e.touched for e in each) / sum(e.clean_steps for e in each) for each in of_all]
    rows.append(["a thousand steps of all", "", "", "", *(f"{value:.2f}" for value in per_1000)])
    return table(rows)


def _skips(runs: list[Found]) -> str:
    stops = sum(each.stops for each in runs)
    return f"{sum(each.touched for each in runs)}{f', {stops} times back or ended' if stops else ''}"


def recall_table(found: dict[str, dict[str, Found]]) -> str:
    """Return the share of faulty steps that rules answer."""
    rows = [["fault", "places", *KINDS]]
    for fault, about in FAULTS.items():
        cells, count = [], 0
        for name, kind in KINDS.items():
            shares = [share for each in found[name].values() for share in each.recalls.get(fault, [])]
            count = len(shares)
            blind = not set(kind.sees) & set(about.sees)
            cells.append("blind" if blind else f"{statistics.fmean(shares):.1%}")
        rows.append([fault, f"{count}", *cells])
    return table(rows)


def after_table(found: dict[str, dict[str, Found]]) -> str:
    """Return how many clean steps rules skip behind a fault."""
    skipping = [name for name, kind in KINDS.items() if not kind.scales]
    rows = [["fault", *skipping]]
    for fault in FAULTS:
        after = [[count for each in found[name].values() for count in each.after.get(fault, [])] for name in skipping]
        if any(map(any, after)):
            rows.append([fault, *(f"{statistics.fmean(counts):.1f}" for counts in after)])
    return table(rows)


def live_table(data: Path) -> str:
    """Return what a fault leaves of a run, rule by rule."""
    rows = [["fault", *KINDS]]
    lived = {fault: {name: live(name, fault, data) for name in KINDS} for fault in LIVE_FAULTS}
    for fault, by_rule in lived.items():
        rows.append([fault, *(_told(here, lived["none"][name]) for name, here in by_rule.items())])
    return table(rows)


def _told(here: Lived, without: Lived) -> str:
    if here.ended:
        return "the run is ended"
    if math.isnan(here.moved) or math.isnan(here.last_loss):
        return "weights are NaN"
    return f"x {here.moved:.2f}, {here.last_loss - without.last_loss:+.3f}"


def agreements(traces: list[Trace], peer_dir: Path) -> list[str]:
    """Return lines that say where a rule as written down differs from its peer's own class, faults put in."""
    lines = []
    for name, (clone, written, own) in PEERS.items():
        differ = steps = 0
        for trace in traces:
            length = len(trace.losses)
            one, other = written(length), own(peer_dir / clone, length)
            for step, (loss, norm) in enumerate(zip(trace.losses, trace.norms, strict=True)):
                loss, norm = (loss + 30 if step % 400 > 390 else loss), (norm * 1e4 if step % 150 == 149 else norm)
                differ += abs(one.answer(loss, norm) - other.answer(loss, norm)) > EQUAL or one.stopped != other.stopped
                one.stopped = other.stopped = False
                steps += 1
        own_class = f"its own class at {commit_of(peer_dir / clone)}"
        lines.append(f"- {name}: as written down here and {own_class}, {differ} of {steps:,} answers differ")
    return lines


def costs(trace: Trace, repeats: int, peer_dir: Path | None) -> dict[str, list[float]]:
    """Return microseconds a step, a mean of each block; the rules take turns, on the same values."""
    ours, length = Ours(len(trace.losses)), len(trace.losses)
    rules = {name: makes(length) for name, (_, makes, _) in PEERS.items()}
    if peer_dir is not None:
        rules = {name: own(peer_dir / clone, length) for name, (clone, _, own) in PEERS.items()}
    judged: list[list[float]] = []
    parts: dict[str, Callable[[int, float, float, torch.Tensor, torch.Tensor], object]] = {
        "groundwork: the verdict, on the device": lambda step, loss, norm, loss_t, norm_t: judged.append(
            ours.guard.judge(loss_t, norm_t).tolist()
        ),
        "groundwork: the host's part, steps later": lambda step, loss, norm, loss_t, norm_t: ours.guard.decide(
            Record(step + 1, step, 1e-3, 0.0, loss, norm, False, 512, False, tuple(judged[-1][1:]))
        ),
    }
    for name, rule in rules.items():
        parts[name] = lambda step, loss, norm, loss_t, norm_t, rule=rule: rule.answer(loss, norm)
    tensors = [(torch.tensor(loss), torch.tensor(norm)) for loss, norm in zip(trace.losses, trace.norms, strict=True)]
    taken: dict[str, list[float]] = {name: [] for name in parts}
    for block in range(repeats + WARM // BLOCK):
        for name, part in parts.items():
            started = time.perf_counter()
            for place in range(BLOCK):
                step = (block * BLOCK + place) % length
                part(block * BLOCK + place, trace.losses[step], trace.norms[step], *tensors[step])
            if block >= WARM // BLOCK:
                taken[name].append(1e6 * (time.perf_counter() - started) / BLOCK)
    return taken


def cost_table(taken: dict[str, list[float]]) -> str:
    """Return what a step costs, and how often the whole of ours that is."""
    (verdict, host), peers = list(taken)[:2], list(taken)[2:]
    whole = [one + other for one, other in zip(taken[verdict], taken[host], strict=True)]
    rows = [["a step's", "microseconds", "ours, whole, of it"]]
    rows += [[name, spread(taken[name]), ""] for name in (verdict, host)]
    rows += [[name, spread(taken[name]), f"{ratio(whole, taken[name]):.2f}"] for name in peers]
    return table(rows)


def main() -> None:
    """Measure and print, or write, the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of shards that the traces are of")
    parser.add_argument("traces", type=Path, help="what guard_traces.py recorded")
    parser.add_argument("--places", type=int, default=5, help="of each kind of fault in each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=50, help="blocks of steps that are timed")
    parser.add_argument("--peer-dir", type=Path, help="clones of OLMo-core, llm-foundry and ZClip, by these names")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    traces = read_traces(given.traces)
    if not traces:
        parser.error(f"{given.traces} holds no traces: python benchmarks/guard_traces.py {given.data} {given.traces}")
    found = replay_all(traces, given.places, given.seed)
    timed = "their own classes" if given.peer_dir else "written down here"
    page = [
        "# The guard", "",
        "## Runs that go well", "", "Steps that were skipped.", "", clean_table(traces, found), "",
        "## Faults", "", "Faulty steps that were answered.", "", recall_table(found), "",
        f"Clean steps that were skipped, of the {AFTER} behind a fault, on average:", "", after_table(found), "",
        "## Struck for real", "", live_table(given.data.resolve()), "",
        "## Cost", "", cost_table(costs(traces[0], given.repeats, given.peer_dir)), "",
        *measured_with(("torch", "numpy"), REPOSITORY, given.repeats),
        f"- places: {given.places} of each kind in each run, seed {given.seed}; peers timed: {timed}",
    ]  # fmt: skip
    page += agreements(traces, given.peer_dir) if given.peer_dir else []
    text = "\n".join(page) + "\n"
    print(text) if given.out is None else given.out.write_text(text)


if __name__ == "__main__":
    main()
