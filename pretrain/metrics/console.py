"""One aligned line every few steps, for people who watch."""

from __future__ import annotations

import math
import sys
from typing import Any

from foundation.errors import require
from foundation.progress import human
from foundation.text import one_line
from pretrain.metrics.bar import Bar
from pretrain.metrics.lines import SAMPLES, STEP_FIELDS
from pretrain.metrics.timing import StepTimes, step_time
from pretrain.plan import Plan
from pretrain.seats import Logger

MIN_WINDOW_STEPS = 20  # fewer make the estimate of the time left jump
SAMPLE_CHARS = 400
BOLD, RED, PLAIN = "\x1b[1m", "\x1b[1;31m", "\x1b[0m"


class Console(Logger):
    """Prints the first step, every `every_steps`-th, the last, each skipped one and each evaluation to stdout.

    The loss of a line is the mean over all tokens since the line before it, skipped steps left out; a skipped step
    shows its own. On a terminal a bar stands under the lines.

    Args:
        plan: the length of the run.
        every_steps: steps between two lines.
        bar: whether there is one.
    Raises:
        SettingError: `every_steps` is below 1.
    """

    def __init__(self, plan: Plan, every_steps: int = 10, bar: bool = True) -> None:
        require(every_steps >= 1, "every_steps", every_steps, "1 or more; logger=none says nothing")
        self._max_steps, self._every_steps = plan.max_steps, every_steps
        self._times = StepTimes(max(every_steps, MIN_WINDOW_STEPS))
        self._nats = self._tokens = 0.0  # of the steps since the last line
        self._last_step, self._first, self._silent = 0, True, False
        self._bar, self._has_bar = Bar(plan.max_steps), bar

    def start(self, step: int) -> None:
        if self._has_bar:
            self._bar.start(step)

    def log(self, line: dict[str, Any]) -> None:
        step = line["step"]
        if step <= self._last_step:  # the run has gone back: what it has done since the last line counts no more
            self._nats = self._tokens = 0.0
        self._last_step = step
        num_tokens = line["step_time_s"] * line["tokens_per_s"]
        self._times.add(line["step_time_s"], num_tokens)
        if not line["skipped"]:
            self._nats, self._tokens = self._nats + line["loss"] * num_tokens, self._tokens + num_tokens
        fields = {name: value for name, value in line.items() if name not in STEP_FIELDS}
        if self._first or step % self._every_steps == 0 or step == self._max_steps or line["skipped"] or fields:
            self._first = False
            self._say(self._step_line(line), RED if line["skipped"] else "")
            if not line["skipped"]:
                self._nats = self._tokens = 0.0
        for text in evaluation_lines(fields):
            self._say(" " * (2 * len(f"{self._max_steps:,}") + 8) + text, BOLD)
        if self._bar.is_shown:
            self._bar.move(step, f"loss {line['loss']:.4f}  left {self._left(step)}")

    def close(self, status: str) -> None:
        self._bar.stop()
        if median_s := self._times.median_s:
            self._say(f"median step {step_time(median_s)}, {human(self._times.tokens_per_s, 'tokens')}/s at the end")

    def _step_line(self, line: dict[str, Any]) -> str:
        width = len(f"{self._max_steps:,}")
        rate = self._times.tokens_per_s
        loss = line["loss"] if line["skipped"] or not self._tokens else self._nats / self._tokens
        parts = [
            f"step {line['step']:>{width},}/{self._max_steps:,}",
            f"loss {loss:7.4f}",
            f"lr {line['lr']:.2e}",
            f"grad norm {line['grad_norm']:7.3f}",
            f"{human(rate, 'tokens'):>12}/s",
        ]
        if line.get("mfu") is not None and line["tokens_per_s"]:
            parts.append(f"mfu {line['mfu'] * rate / line['tokens_per_s']:6.1%}")
        parts.append(f"left {self._left(line['step'])}")
        if line["skipped"]:
            parts.append(f"SKIPPED: {why_skipped(line)}")
        return "   ".join(parts)

    def _left(self, step: int) -> str:
        return clock(self._times.left_s(self._max_steps - step))

    def _say(self, text: str, style: str = "") -> None:
        if self._silent:
            return
        try:
            encoding = sys.stdout.encoding or "utf-8"
            safe = text.encode(encoding, errors="backslashreplace").decode(encoding)
            print(f"{style}{safe}{PLAIN}" if style and sys.stdout.isatty() else safe, flush=True)
        except (OSError, ValueError):
            # the terminal or the reader of a pipe is gone: training goes on, metrics.jsonl holds every line
            self._silent = True


def why_skipped(line: dict[str, Any]) -> str:
    """Return in a few words why a step was skipped, as far as its line tells; journal.jsonl has the evidence."""
    shown = {"loss": "loss", "grad_norm": "grad norm"}
    broken = [f"{word} {line[name]}" for name, word in shown.items() if not math.isfinite(line[name])]
    return ", ".join(broken) or "a spike"


def evaluation_lines(fields: dict[str, Any]) -> list[str]:
    """Return the lines that show an evaluation: its numbers, a source's in a row of its own, then each continuation.

    Args:
        fields: by name: numbers, and `samples`; others are in metrics.jsonl.
    """
    numbers = {name: value for name, value in fields.items() if isinstance(value, int | float)}
    rows: dict[str, list[str]] = {}
    for name, value in numbers.items():
        measure, _, source = name.partition("/")
        rows.setdefault(source, []).append(
            f"{measure} {value:,.0f}" if 1000 <= value < 1e15 else f"{measure} {value:.4f}"
        )
    lines = [f"{source}: {row}" if source else row for source, row in ((s, "   ".join(row)) for s, row in rows.items())]
    samples = fields.get(SAMPLES, [])
    return lines + [one_line(f"{sample['prompt']}│{sample['text']}", SAMPLE_CHARS) for sample in samples]


def clock(seconds: float) -> str:
    """Return a time in the form that its length asks for: `42s`, `3:07`, `2:15:40`, `4d 3h`."""
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, rest = divmod(hours, 24)
    if days:
        return f"{days}d {rest}h"
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"
