"""The goodput ledger: where the time of a run went, over all of its starts, from what it wrote while it ran.

ledger.jsonl tells when each start began, resumed, paused and ended; metrics.jsonl and metrics.dropped.jsonl what each
step took. All times are rank 0's. A killed process can't say when it died: what it did after its last sign (up to
`UNSEEN_STEPS` steps, whose lines wait, or a save or an evaluation under way) is counted as down.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from pretrain.json_lines import read_lines
from pretrain.metrics.lines import CHECKPOINT, EVALUATION, read_metrics
from pretrain.metrics.page.history import History
from pretrain.run_files import DROPPED, LEDGER
from pretrain.types import Status

UNSEEN_STEPS = 4  # one under way, two whose results are on their way, one whose line waits for an evaluation
# parts of the time, in the order in which they are shown
COMPUTE, DATA, START_UP = "compute that counts", "waiting for data", "start-up and compilation"
COUNTS, WATCH = "waiting for other ranks' counts", "looking into steps"
SKIPPED, REDONE, REWOUND = "steps that were skipped", "steps lost by a restart", "steps taken back by a rewind"
DOWN, STOPPED, OTHER = "down after a failure", "stopped on purpose", "other"
OF_STEPS = (COMPUTE, DATA, COUNTS, WATCH)
PARTS = (*OF_STEPS, CHECKPOINT, EVALUATION, START_UP, SKIPPED, REDONE, REWOUND, DOWN, OTHER, STOPPED)
PAUSES = {CHECKPOINT: CHECKPOINT, EVALUATION: EVALUATION}  # others are no part of their own


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where the time of a run went.

    Attributes:
        seconds: part -> seconds; they sum to `wall_s`.
        wall_s: from the first start to the last sign of the run.
        unexplained_s: of the part `other`, what no record tells of: between steps, at the end.
        num_starts: of the run. num_failures: of them, that ended without a good word; the newest may still go on.
    """

    seconds: dict[str, float]
    wall_s: float
    unexplained_s: float
    num_starts: int
    num_failures: int

    @property
    def goodput(self) -> float:
        """Compute that counts over the time that the run was up, or should have been."""
        up_s = self.wall_s - self.seconds[STOPPED]
        return self.seconds[COMPUTE] / up_s if up_s > 0 else float("nan")


def read_ledger(run_dir: Path, history: History) -> Ledger | None:
    """Return the ledger of a run; None where it has no ledger.jsonl, or no start in it.

    Args:
        run_dir: of the run. history: its metrics.
    """
    events = _events(run_dir / LEDGER)
    starts = [float(event["at_s"]) for event in events if event["event"] == "start"]
    if not starts:
        return None
    steps = _Steps.of(run_dir / DROPPED, history, events)
    bounds = [*starts, float("inf")]
    attempts = [
        _Attempt.of([event for event in events if low <= event["at_s"] < high], steps.between(low, high), low)
        for low, high in itertools.pairwise(bounds)
    ]
    seconds = dict.fromkeys(PARTS, 0.0)
    unexplained_s = 0.0
    for attempt in attempts:
        rest_s = attempt.wall_s - sum(attempt.seconds.values())
        unexplained_s += rest_s
        for part, amount_s in (*attempt.seconds.items(), (OTHER, rest_s)):
            seconds[part] += amount_s
    for one, other in itertools.pairwise(attempts):
        seconds[STOPPED if one.ended_well else DOWN] += other.start_s - one.last_s
    wall_s = attempts[-1].last_s - attempts[0].start_s
    failed = [not attempt.ended_well for attempt in attempts]
    failed[-1] &= attempts[-1].has_ended
    return Ledger(seconds, wall_s, unexplained_s, len(attempts), sum(failed))


def _events(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a ledger, without the starts that were refused before they began."""
    events: list[dict[str, Any]] = []
    for line in read_lines(path):
        if line.get("event") == "withdrawn":
            while events and events.pop()["event"] != "start":
                pass
        elif isinstance(line.get("at_s"), float):
            events.append(line)
    return events


@dataclass(frozen=True, slots=True)
class _Steps:
    """Steps as they were done, some twice, by the time at which they were finished.

    Attributes:
        finished_s, took_s, data_s, counts_s, compute_s, watch_s: (n,) float64.
        fates: (n,) str, COMPUTE, SKIPPED, REDONE or REWOUND.
    """

    finished_s: np.ndarray
    took_s: np.ndarray
    data_s: np.ndarray
    counts_s: np.ndarray
    compute_s: np.ndarray
    watch_s: np.ndarray
    fates: np.ndarray

    @classmethod
    def of(cls, dropped: Path, history: History, events: Sequence[dict[str, Any]]) -> _Steps:
        """Return all steps, those that stayed and those whose lines were dropped."""
        kept = history.columns
        zeros = np.full(len(history.steps), np.nan)
        data_s, counts_s, forward_s, update_s, watch_s = (kept.get(f"times.{name}", zeros) for name in _NAMES)
        fates = np.where(history.kept, COMPUTE, SKIPPED).astype(object)
        # a crash while lines are dropped leaves one in both files
        stayed = set(zip(history.steps[-_IN_BOTH:].tolist(), kept["finished_s"][-_IN_BOTH:].tolist(), strict=True))
        gone = [
            (line["finished_s"], line["step_time_s"], *[np.nan] * 4, _fate(line, events))
            for line in read_metrics(dropped)
            if isinstance(line.get("finished_s"), float) and (line["step"], line["finished_s"]) not in stayed
        ]
        columns = zip(*gone, strict=True) if gone else ([] for _ in range(7))
        joined = (
            np.concatenate([np.asarray(one, object), np.asarray(list(other), object)])
            for one, other in zip(
                (kept["finished_s"], kept["step_time_s"], data_s, counts_s, forward_s + update_s, watch_s, fates),
                columns,
                strict=True,
            )
        )
        *numbers, all_fates = joined
        columns_s = [each.astype(np.float64) for each in numbers]
        order = np.argsort(columns_s[0], kind="stable")
        return cls(*(each[order] for each in (*columns_s, all_fates)))

    def between(self, low_s: float, high_s: float) -> _Steps:
        """Return those that were finished from `low_s` on and before `high_s`."""
        first, end = np.searchsorted(self.finished_s, [low_s, high_s])
        part = slice(int(first), int(end))
        return _Steps(*(getattr(self, each.name)[part] for each in fields(self)))

    def seconds(self, start_up_s: float) -> dict[str, float]:
        """Return part -> seconds of these steps.

        Args:
            start_up_s: of the first of them, what is no step's.
        """
        counts = self.fates == COMPUTE
        found = {fate: float(self.took_s[self.fates == fate].sum()) for fate in (SKIPPED, REDONE, REWOUND)}
        columns = (self.compute_s, self.data_s, self.counts_s, self.watch_s)
        parts = {part: float(np.nansum(each[counts])) for part, each in zip(OF_STEPS, columns, strict=True)}
        others_s = float(self.took_s[counts].sum()) - sum(parts.values())
        return found | parts | {COMPUTE: parts[COMPUTE] - start_up_s, OTHER: others_s}


_NAMES = ("data_s", "counts_s", "forward_backward_s", "optimizer_s", "watch_s")
_IN_BOTH = 100_000  # lines of the newest steps that are looked at for that


def _fate(line: dict[str, Any], events: Sequence[dict[str, Any]]) -> str:
    """Return by what a step was thrown away: the first going back to before it after it was done."""
    for event in events:
        if event["at_s"] < line["finished_s"]:
            continue
        if event["event"] == "start":
            return REDONE
        if event["event"] == "resume" and event["at_step"] < line["step"]:
            return REWOUND
    return REDONE


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One start.

    Attributes:
        start_s, last_s: time of its first and its last sign. seconds: of its parts.
        status: with which it ended; None while it goes on, or when it was killed.
    """

    start_s: float
    last_s: float
    seconds: dict[str, float]
    status: str | None

    @property
    def wall_s(self) -> float:
        return self.last_s - self.start_s

    @property
    def has_ended(self) -> bool:
        return self.status is not None

    @property
    def ended_well(self) -> bool:
        """Whether it finished, or stopped when it was asked to; a guard that gives up was not asked."""
        return self.status in (Status.FINISHED.value, Status.PREEMPTED.value)

    @classmethod
    def of(cls, events: Sequence[dict[str, Any]], steps: _Steps, start_s: float) -> _Attempt:
        """Return what its events and steps say."""
        signs = [float(event["at_s"]) for event in events]
        last_s = max([*signs, *steps.finished_s[-1:].tolist()])
        pauses = [event for event in events if event["event"] == "pause"]
        # without a step that ended, all of it was a start; else it is one up to the word that the first step begins
        begun = (
            [float(event["at_s"]) for event in events if event["event"] == "train"] if len(steps.took_s) else [last_s]
        )
        start_up_s = sum(at_s - start_s for at_s in begun[:1]) - sum(
            float(pause["took_s"]) for pause in pauses for at_s in begun[:1] if pause["at_s"] <= at_s
        )
        first_s = _beyond_the_median(steps)
        seconds = {START_UP: start_up_s + first_s} | steps.seconds(first_s)
        for pause in pauses:
            part = PAUSES.get(pause["what"], OTHER)
            seconds[part] = seconds.get(part, 0.0) + float(pause["took_s"])
        ends = [str(event["status"]) for event in events if event["event"] == "end"]
        return cls(start_s, last_s, seconds, ends[-1] if ends else None)


def _beyond_the_median(steps: _Steps) -> float:
    """Return the seconds by which the first step computes longer than a median one: compilation, first allocations."""
    if len(steps.took_s) < 3 or steps.fates[0] != COMPUTE or np.isnan(steps.compute_s[0]):
        return 0.0
    return max(0.0, float(steps.compute_s[0] - np.nanmedian(steps.compute_s)))
