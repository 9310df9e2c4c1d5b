"""metrics.jsonl: one JSON object per step, steps rising."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pretrain.json_lines import JsonLines, read_lines
from pretrain.run_files import METRICS

# what every step has, in the order of a line; all other fields of a line came from an evaluation and stand behind
STEP_FIELDS = (
    *("step", "data_step", "num_updates", "num_skipped"),
    *("loss", "perplexity", "bits_per_byte", "source_losses", "source_tokens"),
    *("lr", "grad_norm", "grad_max", "grad_max_clipped", "grad_max_name", "num_clipped", "clipped_frac", "skipped"),
    *("tokens_seen", "samples_seen", "batch_hash", "epochs"),
    *("tokens_per_s", "step_time_s", "times", "finished_s", "mfu", "host_memory_bytes", "device_memory_bytes"),
)
# those of one run that another run of the same steps has otherwise
MACHINE_FIELDS = (
    *("tokens_per_s", "step_time_s", "times", "finished_s", "mfu"),
    *("host_memory_bytes", "device_memory_bytes"),
)
# parts of a step's time, in `times`
TIMES = ("data_s", "counts_s", "forward_backward_s", "watch_s", "optimizer_s", "other_s")
# what the run's clock stands still for, as ledger.jsonl calls it
CHECKPOINT, EVALUATION, OTHER = "checkpoint", "evaluation", "other"
BESIDE = (CHECKPOINT, EVALUATION)  # in `times` of the step that they follow, with `_s`, but no part of its step_time_s
SAMPLES = "samples"  # the one field of an evaluation that is no number: [{"prompt": str, "text": str}, ...]
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class StepLines(JsonLines):
    """A file of lines of steps, that rise.

    `sync` before a checkpoint counts on its lines: a machine that loses power keeps every line up to its newest
    checkpoint, the resumed run writes the rest.
    """

    def append(self, line: dict[str, Any], durable: bool = False) -> None:
        """Write one line. At the first, lines of its step and later (an attempt without a checkpoint) are dropped.

        Args:
            line: as `JsonLines.append` takes it; `step` (steps finished with it) is not below the last line's.
            durable: as there.
        """
        if self.is_closed:
            self.drop_after(int(line["step"]) - 1)
        super().append(line, durable)


class MetricsFile(StepLines):
    """The metrics file of one run, a line a step.

    Args:
        run_dir: of the run; the file is metrics.jsonl in it.
    """

    def __init__(self, run_dir: Path) -> None:
        super().__init__(run_dir / METRICS)

    def is_evaluated(self, step: int) -> bool:
        """Return whether the line of this step has fields of an evaluation."""
        return any(line["step"] == step and line.keys() - set(STEP_FIELDS) for line in read_metrics(self.path))


def in_order(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line with its step's fields in their order: a checkpoint, which keeps one, sorts them by name."""
    found = {name: line[name] for name in STEP_FIELDS if name in line} | line
    if times := line.get("times"):
        found["times"] = {name: times[name] for name in TIMES if name in times} | times
    return found


def missing_steps(path: Path, first: int, last: int) -> list[tuple[int, int]]:
    """Return the steps from `first` to `last` that a metrics file has no line of, as pairs of their first and last."""
    found, expected = [], first
    for step in sorted({step for line in read_metrics(path) if first <= (step := int(line["step"])) <= last}):
        if step > expected:
            found.append((expected, step - 1))
        expected = step + 1
    return [*found, (expected, last)] if expected <= last else found


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a metrics file, spelled floats as floats again; what is no line (a torn end) is passed over.

    A top-level string that is exactly "NaN", "Infinity" or "-Infinity" reads as a float: no text there can be one.
    """
    for line in read_lines(path):
        if "step" in line:
            yield with_floats(line)


def with_floats(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line with its spelled floats as floats."""
    return {key: NON_FINITE.get(value, value) if isinstance(value, str) else value for key, value in line.items()}
