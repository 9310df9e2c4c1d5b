"""What a fault is, what came of one injection, and of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.prove.bench import Bench


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one injection.

    Attributes:
        detected: whether it was noticed and said; None where there is nothing to notice, as after a short stop, or
            nobody left to notice it, as after a kill of all there was.
        recovered: whether the same line, typed again or going on, gave what the uninterrupted run gave, with no step by
            hand but taking the fault away (making room, putting a file back).
        silent: whether a run went on with another state than the uninterrupted one, or used damaged bytes, and said
            nothing.
        seconds: from the fault, or from its end where it has one, to the first step done after it; None: no step.
        note: what went wrong; empty when nothing did.
    """

    detected: bool | None
    recovered: bool
    silent: bool
    seconds: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One injection. `attempt` injects, looks and recovers; what it raises counts as not recovered."""

    name: str
    attempt: Callable[[], Outcome]


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of injection.

    Attributes:
        rows: of the fault matrix.
        family: the file it stands in; `--only` takes it.
        name: what is injected, for the table.
        promise: what counts as detected and as recovered, for the page.
        cases: makes the injections; few of them where the bench is quick.
        each_s: seconds that one takes on two idle cores, for the time left.
        needs: names of capabilities (see needs.py) without which it can't run.
        processes: that are busy at a time: so many injections run side by side as the cores allow.
    """

    rows: tuple[int, ...]
    family: str
    name: str
    promise: str
    cases: Callable[[Bench], list[Case]]
    each_s: float
    needs: tuple[str, ...] = ()
    processes: int = 1


@dataclass(slots=True)
class Tally:
    """The outcomes of one fault."""

    fault: Fault
    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)

    @property
    def injected(self) -> int:
        return len(self.outcomes)

    @property
    def detectable(self) -> int:
        return sum(outcome.detected is not None for _, outcome in self.outcomes)

    @property
    def detected(self) -> int:
        return sum(outcome.detected is True for _, outcome in self.outcomes)

    @property
    def recovered(self) -> int:
        return sum(outcome.recovered for _, outcome in self.outcomes)

    @property
    def silent(self) -> int:
        return sum(outcome.silent for _, outcome in self.outcomes)

    @property
    def seconds(self) -> list[float]:
        return sorted(outcome.seconds for _, outcome in self.outcomes if outcome.seconds is not None)

    @property
    def failures(self) -> list[tuple[str, Outcome]]:
        """Those that were silent or not recovered."""
        return [(name, outcome) for name, outcome in self.outcomes if outcome.silent or not outcome.recovered]

    @property
    def unnoticed(self) -> list[tuple[str, Outcome]]:
        """Those that did no harm, but of which nothing was said though there was something to say: failures as well."""
        return [(name, outcome) for name, outcome in self.outcomes if outcome.detected is False and outcome.recovered]
