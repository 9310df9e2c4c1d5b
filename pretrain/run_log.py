"""From records to metrics lines: one line a step, with rates, joined by the evaluation's fields where there are any."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from foundation.errors import ConfigError
from foundation.progress import LINE_EVERY_S
from pretrain.json_lines import JsonLines
from pretrain.metrics.diverging import Diverging, told
from pretrain.metrics.epochs import Epoch, Epochs
from pretrain.metrics.fields import StepFields
from pretrain.metrics.lines import BESIDE, OTHER, STEP_FIELDS, TIMES, MetricsFile, StepLines, in_order
from pretrain.plan import Plan
from pretrain.run_files import DATAPOINTS, JOURNAL, LEDGER, WATCH
from pretrain.seats import Logger
from pretrain.types import Record


class RunLog:
    """Writes metrics.jsonl and feeds the loggers, on rank 0; the other ranks hold the same lines and write nothing.

    What a run does outside of its steps stands in ledger.jsonl, a line each, with the time: start, train, resume,
    pause, end. No line of it is ever dropped: a step done twice took time twice.

    The newest line is held back until the next step, an evaluation or a flush, because validation values are fields of
    their step's line. A checkpoint keeps the held line, so a kill between save and evaluation loses none.

    Args:
        plan: tokens per step.
        metrics: None on ranks that write nothing.
        logger: likewise NoLogger there.
        flops_per_token: of forward and backward.
        peak_flops: FLOP/s of all devices together; None when unknown.
        epochs_at: data steps done -> source -> how many times it has been read.
        fields: what a line says of a step beside its rates.
    Attributes:
        last: the newest line. postponed: whether it waits for an evaluation that a run that goes on makes.
    """

    def __init__(
        self,
        plan: Plan,
        metrics: MetricsFile | None,
        logger: Logger,
        flops_per_token: float,
        peak_flops: float | None,
        epochs_at: Callable[[int], dict[str, float]],
        fields: StepFields | None = None,
    ) -> None:
        self._plan, self._metrics, self._logger = plan, metrics, logger
        self._flops_per_token, self._peak_flops = flops_per_token, peak_flops
        self._ledger = None if metrics is None else JsonLines(metrics.path.with_name(LEDGER))
        folder = None if metrics is None else metrics.path.parent
        self._shown = {name: StepLines(folder / name) for name in (WATCH, DATAPOINTS) if folder is not None}
        self._epochs_at, self._fields = epochs_at, fields or StepFields()
        self._read: tuple[int, dict[str, float]] = (-1, {})  # batches, and how often they have read each source
        self._paused_s, self._last_finished_s = 0.0, time.perf_counter()
        self._last_beat_s = time.monotonic()
        self._passes, self._diverging = Epochs(), Diverging()
        self._ended: dict[str, Epoch] = {}  # source -> its last epoch that ended and has not been told
        self._last_ended_s = -math.inf
        self.last: dict[str, Any] = {}
        self.postponed = False
        self._held = False

    @property
    def not_finite_since(self) -> int | None:
        """The first of the last steps whose loss was NaN or infinite; None where the last loss was a number."""
        return self._diverging.not_finite_since

    def clock(self) -> float:
        """Return seconds of training: a clock that stands still while the run saves or evaluates."""
        return time.perf_counter() - self._paused_s

    @contextlib.contextmanager
    def pause(self, what: str = OTHER) -> Iterator[None]:
        """Stop the clock.

        Args:
            what: for; the ledger counts by it, and the held line, if it is this step's, says how long a checkpoint or
                an evaluation took. A pause inside of another is counted by itself.
        """
        started, within_s = time.perf_counter(), self._paused_s
        try:
            yield
        finally:
            took_s = time.perf_counter() - started - (self._paused_s - within_s)
            self._paused_s += took_s
            self._note("pause", what=what, took_s=took_s)
            if self._held and what in BESIDE:
                self.last["times"] = self.last.get("times", {}) | {f"{what}_s": round(took_s, 6)}

    def start(self) -> None:
        """Start the clock of the first step."""
        self._logger.start(self.last.get("step", 0))
        self.begin_step()
        self._note("train")

    def begin_step(self) -> None:
        """Have the next step's time begin now: those under way before it are left."""
        self._last_finished_s = self.clock()

    def _note(self, event: str, **fields: Any) -> None:
        if self._ledger is not None:
            self._ledger.append({"event": event, "at_s": time.time(), **fields})

    def add(self, record: Record, num_updates: int, tokens_seen: int) -> None:
        """Hold the line of one step and write the one before.

        Args:
            record: of the step. num_updates, tokens_seen: counts that include it.
        """
        self.flush()
        step_time_s = max(record.finished_s - self._last_finished_s, 1e-9)
        self._last_finished_s = record.finished_s
        tokens_per_s = record.num_targets / step_time_s
        before, epochs = self._epochs(record.data_step)
        line = self._fields.of(record, num_updates, self.last) | {
            "step": record.step,
            "data_step": record.data_step,
            "num_updates": num_updates,
            "lr": record.lr,
            "grad_norm": record.grad_norm,
            "skipped": record.skipped,
            "tokens_seen": tokens_seen,
            "epochs": dict(epochs),  # every digit: the page ends an epoch at the step at which the console does
            "tokens_per_s": tokens_per_s,
            "step_time_s": step_time_s,
            "times": _times(record, step_time_s),
            "finished_s": round(time.time() - (self.clock() - record.finished_s), 3),
        }
        if self._peak_flops is not None:
            line["mfu"] = tokens_per_s * self._flops_per_token / self._peak_flops
        self.last = in_order(line)
        self._held = True
        ended = self._passes.add(line, epochs, before)
        self._ended |= {epoch.source: epoch for epoch in ended}
        self._say_ends_of_epochs(LINE_EVERY_S)
        diverges = None if record.skipped else self._diverging.take(record.step, record.loss, record.lr)
        if diverges is not None and self._metrics is not None:
            with contextlib.suppress(OSError):  # a full disk: the run itself says so
                JsonLines(self._metrics.path.with_name(JOURNAL)).append(diverges, durable=True)
            print(told(diverges), file=sys.stderr, flush=True)

    def say_progress(self, step: int, done: int, total: int) -> None:
        """Say every few seconds how far a long step is; a short step prints nothing but its line.

        Args:
            step: steps finished before this one. done, total: its micro batches.
        """
        now_s = time.monotonic()
        if done and now_s - self._last_beat_s < LINE_EVERY_S:
            return
        self._last_beat_s = now_s
        if done and self._metrics is not None:
            print(f"step {step + 1}: {done} of {total} micro batches", file=sys.stderr, flush=True)

    def _epochs(self, data_step: int) -> tuple[dict[str, float], dict[str, float]]:
        """Return how often each source has been read before this batch and with it: mostly known of the one before."""
        done, before = self._read
        if done != data_step:
            before = self._epochs_at(data_step)
        self._read = data_step + 1, self._epochs_at(data_step + 1)
        return before, self._read[1]

    def _say_ends_of_epochs(self, every_s: float) -> None:
        """Say at which step which sources had been read once more; of small ones every few seconds at most."""
        now_s = time.monotonic()
        if now_s - self._last_ended_s >= every_s and self._ended and self._metrics is not None:
            ended = sorted(self._ended.values(), key=lambda epoch: (epoch.last_step, epoch.source))
            for step, epochs in groupby(ended, key=lambda epoch: epoch.last_step):
                print(f"step {step}: {', '.join(epoch.told() for epoch in epochs)}", file=sys.stderr, flush=True)
            self._ended, self._last_ended_s = {}, now_s

    def join(self, fields: dict[str, Any]) -> None:
        """Add an evaluation's fields to the held line and write it.

        Raises:
            ConfigError: one has the name of a field that every step has.
        """
        if taken := [name for name in STEP_FIELDS if name in fields]:
            raise ConfigError(f"eval: gives the field {taken[0]!r}, which every step's line has; rename it")
        self.last |= fields
        self.flush()

    def postpone(self) -> None:
        """Leave the held line, whose evaluation was given up, to the checkpoint: it brings the line back."""
        self.postponed, self._held = True, False

    def flush(self) -> None:
        """Write the held line, if there is one."""
        if self._held:
            if self._metrics is not None:
                self._metrics.append(self.last)
            self._logger.log(self.last)
            self._held = False

    def show(self, name: str, line: dict[str, Any]) -> None:
        """Write what was looked at in a step, and hand it to the loggers.

        Args:
            name: of the file. line: of it, with `step`.
        """
        if name in self._shown:
            self._shown[name].append(line)
        self._logger.show(name, line)

    def sync(self) -> None:
        """Make every line but the held one durable, before a checkpoint counts on them."""
        if self._metrics is not None:
            self._metrics.sync()
        for file in self._shown.values():
            file.sync()

    def resume(self, step: int, line: dict[str, Any], evaluates: bool = False) -> bool:
        """Go on after `step` steps: later lines are dropped, the checkpoint's own line is held if the file lacks it.

        Args:
            step: steps that the checkpoint was saved after. line: the one it keeps.
            evaluates: whether an evaluation belongs to that step. An error between save and evaluation has written the
                line without it: such a one is dropped too.
        Returns:
            Whether that line still misses in the file.
        """
        self._note("resume", at_step=step)
        self.last = in_order(line)
        self._diverging.go_back()
        self._passes, self._ended = Epochs(), {}  # steps that are left belong to none; the page sums up the kept ones
        for file in self._shown.values():
            file.drop_after(step)
        last_step = self._metrics.drop_after(step) if self._metrics is not None else 0
        if self._metrics is not None and evaluates and last_step == step and not self._metrics.is_evaluated(step):
            last_step = self._metrics.drop_after(step - 1)
        self._held = line.get("step", 0) > last_step
        return self._held

    def close(self, status: str) -> None:
        """Flush and close file and loggers, say what waits to be said; `status` says how the run ended."""
        try:
            self.flush()
            if self._metrics is not None:
                self._metrics.sync()  # status.json, which says that the run is over, is flushed as well
                self._metrics.close()
            self._note("end", status=status)
            for file in self._shown.values():
                file.sync()
                file.close()
            self._say_ends_of_epochs(every_s=0.0)
        finally:  # a full disk must not keep the logger from telling how the run ended
            if self._ledger is not None:
                self._ledger.close()
            self._logger.close(status)


def _times(record: Record, step_time_s: float) -> dict[str, float]:
    """Return the parts of a step's time; what none of the marks covers is the last."""
    known = [record.times.get(name, 0.0) for name in TIMES[:-1]]
    return dict(zip(TIMES, (round(part, 6) for part in (*known, max(step_time_s - sum(known), 0.0))), strict=True))
