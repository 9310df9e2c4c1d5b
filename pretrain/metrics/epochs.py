"""What each pass over the data came to: its loss, tokens and time, from the lines of its steps.

A step in which a source has been read once more ends that epoch and belongs to it; the next one begins behind it. That
of the whole mixture ends when every source has been read once more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

ALL = "all sources"  # the name of the whole mixture among its sources


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over a source, or several that ended in one step.

    Attributes:
        source: its name; ALL for the mixture of several.
        number: of the pass, from 1; count: of passes that ended together, mostly 1.
        first_step, last_step: its steps, both among them.
        loss: nats a target, mean over the source's targets in steps that were not skipped; NaN without one, or where a
            loss was not finite.
        tokens: those targets. time_s: seconds of all its steps. skipped: how many of them were.
        whole: whether it was followed from its beginning; else `first_step` is where that began.
    """

    source: str
    number: int
    count: int
    first_step: int
    last_step: int
    loss: float
    tokens: int
    time_s: float
    skipped: int
    whole: bool

    def told(self) -> str:
        """Return that it ended, and its loss, in words."""
        counted = f"over {self.tokens:,} tokens" if self.whole else f"from step {self.first_step:,} on"
        loss = f" (loss {self.loss:.4f} {counted})" if math.isfinite(self.loss) else ""
        return f"epoch {self.number} of {self.source} ended{loss}"


@dataclass(slots=True)
class _Sums:
    """Sums over steps. `broken` counts those whose loss was not finite: it must not spoil later epochs."""

    nats: float = 0.0
    tokens: float = 0.0
    broken: int = 0

    def add(self, loss: float, tokens: float) -> None:
        self.tokens += tokens
        if math.isfinite(loss):
            self.nats += loss * tokens
        else:
            self.broken += 1


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a source's epoch under way began, and the sums up to there."""

    step: int
    passes: int
    sums: _Sums
    time_s: float
    skipped: int
    whole: bool


class Epochs:
    """Takes the lines of metrics.jsonl in turn and gives each epoch when it ends."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sums] = {}
        self._starts: dict[str, _Start] = {}
        self._time_s, self._skipped, self._step = 0.0, 0, 0
        self._counts: Mapping[str, float] = {}

    def add(
        self, line: Mapping[str, Any], counts: Mapping[str, float], before: Mapping[str, float] | None = None
    ) -> list[Epoch]:
        """Take one step; return the epochs that ended with it.

        Args:
            line: of the step. What is spelled in it counts as not finite.
            counts: source -> how many times it has been read, this step included.
            before: without it, asked of the first step alone. None: where that is the run's first, nothing had been
                read; where it is not, that an epoch ended with it is not seen.
        """
        if not counts:
            return []
        if not counts.keys() <= self._starts.keys():
            self._begin(line, counts, before)
        self._counts = counts
        self._step = int(line["step"])
        self._time_s += line["step_time_s"]
        self._skipped += bool(line["skipped"])
        if not line["skipped"]:
            self._add_losses(line)
        # of a million lines next to none ends an epoch; that of all sources ends with one of them
        if not any(count >= self._starts[name].passes + 1 for name, count in counts.items()):
            return []
        passes = {name: int(count) for name, count in self._with_all(counts).items()}
        return [self._end(name, count) for name, count in passes.items() if count > self._starts[name].passes]

    def under_way(self) -> list[tuple[Epoch, float]]:
        """Return what has been read of each epoch that has not ended, and which share of it that is."""
        if not self._counts:
            return []
        shares = {name: count - self._starts[name].passes for name, count in self._with_all(self._counts).items()}
        known = {name: self._starts[name].passes for name in shares}
        return [(self._until_now(name, known[name]), share) for name, share in shares.items() if share > 0]

    def _begin(self, line: Mapping[str, Any], counts: Mapping[str, float], before: Mapping[str, float] | None) -> None:
        """Begin with this line, or where it has a source that those before it had not."""
        is_first, step = line.get("data_step") == 0, int(line["step"]) - 1
        known = self._with_all(dict.fromkeys(counts, 0.0) if is_first else before or counts)
        for name in known.keys() - self._starts.keys():
            self._sums[name] = _Sums()
            self._starts[name] = _Start(step, int(known[name]), _Sums(), self._time_s, self._skipped, is_first)

    def _with_all(self, counts: Mapping[str, float]) -> dict[str, float]:
        return {**counts, ALL: min(counts.values())} if len(counts) > 1 else dict(counts)

    def _add_losses(self, line: Mapping[str, Any]) -> None:
        """Add the step's losses: that of all targets, and where lines tell of several sources that of each."""
        whole = ALL if len(self._counts) > 1 else next(iter(self._counts))
        self._sums[whole].add(_number(line["loss"]), round(line["step_time_s"] * line["tokens_per_s"]))
        tokens = line.get("source_tokens", {})
        for name, loss in line.get("source_losses", {}).items():
            if name in tokens and name in self._sums:
                self._sums[name].add(_number(loss), tokens[name])

    def _end(self, name: str, passes: int) -> Epoch:
        found = self._until_now(name, passes)
        sums = replace(self._sums[name])
        self._starts[name] = _Start(self._step, passes, sums, self._time_s, self._skipped, True)
        return found

    def _until_now(self, name: str, passes: int) -> Epoch:
        """Return what has been read since the epoch began, after which the source has been read `passes` times."""
        start, sums = self._starts[name], self._sums[name]
        tokens = sums.tokens - start.sums.tokens
        loss = (sums.nats - start.sums.nats) / tokens if tokens and sums.broken == start.sums.broken else math.nan
        return Epoch(
            name,
            number=max(passes, start.passes + 1),
            count=passes - start.passes,
            first_step=start.step + 1,
            last_step=self._step,
            loss=loss,
            tokens=int(tokens),
            time_s=self._time_s - start.time_s,
            skipped=self._skipped - start.skipped,
            whole=start.whole,
        )


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else math.nan
