"""Runs the faults in a seeded order, says how far it is, and collects what came of them."""

from __future__ import annotations

import math
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from foundation.cores import usable_cores
from tests.prove.bench import Bench
from tests.prove.faults import Case, Fault, Outcome, Tally
from tests.prove.needs import missing

SAY_EVERY_S = 5.0
INTERRUPTED = "more time: it was interrupted"
RUN_S = 1.0  # an injection that takes longer starts a run


@dataclass(slots=True)
class Results:
    """What ran and what came of it.

    Attributes:
        tallies: in the order of the matrix. not_run: each with why. seconds: that all of it took.
        interrupted: whether a Ctrl-C ended it; what was done until then is there.
    """

    tallies: list[Tally] = field(default_factory=list)
    not_run: list[tuple[Fault, str]] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def failed(self) -> bool:
        """Whether anything was silent, not recovered, or not noticed where there was something to notice."""
        return any(tally.failures or tally.unnoticed for tally in self.tallies)


def run(bench: Bench, faults: Sequence[Fault], share: float = 1.0) -> Results:
    """Inject all faults.

    Args:
        faults: in the order of the matrix; they run in an order of the bench's seed.
        share: of the injections of each fault that starts runs, chosen by the seed, at least one.
    """
    results, started_s = Results(), time.monotonic()
    results.not_run = [(fault, why) for fault in faults if (why := why_not(fault))]
    left = [fault for fault in faults if not why_not(fault)]
    plans = [(fault, *_cases(bench, fault, share)) for fault in bench.random.sample(left, len(left))]
    meter = Meter(plans)
    done: dict[int, Tally] = {}
    try:
        for fault, cases, failed in plans:
            done[id(fault)] = Tally(fault)
            _attempt_all(done[id(fault)], cases, failed, meter)
    except KeyboardInterrupt:
        results.interrupted = True
    results.tallies = [done[id(fault)] for fault in left if id(fault) in done]
    results.not_run += [(fault, INTERRUPTED) for fault in left if id(fault) not in done]
    results.seconds = time.monotonic() - started_s
    return results


def why_not(fault: Fault) -> str:
    """Return what a fault needs that is not there."""
    return "; ".join(why for need in fault.needs if (why := missing(need)))


class Meter:
    """Says every few seconds: injection n of N, which fault, how many minutes are left. For several threads."""

    def __init__(self, plans: Sequence[tuple[Fault, list[Case], str]]) -> None:
        self._total = sum(len(cases) for _, cases, _ in plans)
        self._foreseen_s = sum(len(cases) * fault.each_s / side_by_side(fault) for fault, cases, _ in plans)
        self._done, self._done_s, self._started_s, self._said_s = 0, 0.0, time.monotonic(), 0.0
        self._lock = threading.Lock()

    def add(self, fault: Fault, case: Case) -> None:
        """Count one injection that is done."""
        with self._lock:
            self._done, self._done_s = self._done + 1, self._done_s + fault.each_s / side_by_side(fault)
            now_s = time.monotonic()
            if now_s - self._said_s < SAY_EVERY_S and self._done < self._total:
                return
            self._said_s = now_s
            left_min = (now_s - self._started_s) / self._done_s * (self._foreseen_s - self._done_s) / 60
            what = f"row {', '.join(map(str, fault.rows))} {fault.name}: {case.name}"
            print(f"{self._done} of {self._total}, {left_min:.1f} min left, {what:.150}", file=sys.stderr, flush=True)


def side_by_side(fault: Fault) -> int:
    """Return how many injections of a fault run at a time."""
    return max(1, usable_cores() // fault.processes)


def _cases(bench: Bench, fault: Fault, share: float) -> tuple[list[Case], str]:
    try:
        cases = fault.cases(bench)
        chosen = set(
            bench.random.sample(range(len(cases)), math.ceil((share if fault.each_s >= RUN_S else 1.0) * len(cases)))
        )
        return [case for number, case in enumerate(cases) if number in chosen], ""
    except Exception:
        return [], traceback.format_exc(limit=-3)


def _attempt_all(tally: Tally, cases: list[Case], failed: str, meter: Meter) -> None:
    fault = tally.fault
    if failed:
        tally.outcomes.append(("making the injections", Outcome(None, False, False, None, failed)))

    def one(case: Case) -> None:
        outcome = attempt(case)
        tally.outcomes.append((case.name, outcome))
        meter.add(fault, case)
        if outcome.silent or not outcome.recovered or outcome.detected is False:
            kind = "SILENT" if outcome.silent else "NOT NOTICED" if outcome.recovered else "NOT RECOVERED"
            print(f"{kind}: {fault.name}: {case.name}: {outcome.note}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(side_by_side(fault)) as pool:
        list(pool.map(one, cases))  # raises what a case raised


def attempt(case: Case) -> Outcome:
    """Inject once; an error of the injection itself is not a recovery."""
    try:
        return case.attempt()
    except Exception:
        return Outcome(None, False, False, None, traceback.format_exc(limit=-4))
