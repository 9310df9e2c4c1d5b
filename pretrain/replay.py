"""One step of a run, done again from the nearest checkpoint before it: the same bits, and what was in it."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.config.compose import read_config
from foundation.errors import ConfigError, GroundworkError
from foundation.progress import LINE_EVERY_S
from foundation.text import number_of
from pretrain.checkpoint.gate import config_of
from pretrain.checkpoint.integrity import step_folders, step_of
from pretrain.checkpoint.reading import open_checkpoint
from pretrain.checkpoint.retention import manifest_of
from pretrain.checkpoint.rules import Class, rule_of
from pretrain.inside import Inside, look_inside
from pretrain.journal import BEGUN, CHANGE
from pretrain.json_lines import read_blocks, read_lines, spelled
from pretrain.metrics.console import clock
from pretrain.metrics.lines import read_metrics, with_floats
from pretrain.metrics.timing import step_time
from pretrain.run import Run, restore
from pretrain.run_files import CHECKPOINTS, CONFIG, DROPPED, JOURNAL, METRICS
from pretrain.train import clip_scale, forward_backward
from pretrain.types import Record, StepResult

Line = dict[str, Any]

MANY_STEPS = 50  # done again: more are a reason to keep more checkpoints


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it.

    Attributes:
        logged: the step's line of then. record: of now. inside: what was in it, on rank 0.
        differs: the first step whose loss or gradient norm has other bits than then; None where all are the same.
        begun: where it was begun, in words. num_steps: that were done.
    """

    logged: Line
    record: Record
    inside: Inside | None
    differs: int | None
    begun: str
    num_steps: int


def lines_to(run_dir: Path, step: int, dropped: int = 0) -> list[Line]:
    """Return the metrics lines that lead to a step, the last one its own.

    Args:
        run_dir: of the run.
        step: steps finished with it, as metrics.jsonl counts.
        dropped: 0 takes the timeline that was kept, n the n-th last time that the step was done and dropped, by a run
            that went back.
    Raises:
        ConfigError: it was never done, or not so often.
    """
    timeline = list(read_metrics(run_dir / METRICS))
    if not dropped and any(line["step"] == step for line in timeline):
        return [line for line in timeline if line["step"] <= step]
    times = 0
    for block in reversed(list(read_blocks(run_dir / DROPPED))):  # what stood there before it was dropped
        block = [with_floats(line) for line in block]
        timeline = [line for line in timeline if line["step"] < block[0]["step"]] + block
        times += any(line["step"] == step for line in block)
        if dropped and times == dropped:
            return [line for line in timeline if line["step"] <= step]
    if dropped:
        raise ConfigError(f"dropped: {dropped}, but step {step} was dropped {times} times; dropped=0 is the kept one")
    last = max((int(line["step"]) for line in read_metrics(run_dir / METRICS)), default=0)
    more = f"; it was done and dropped {times} times: dropped=1 is the last of them" if times else ""
    raise ConfigError(f"step: {step} is not in {run_dir / METRICS}, whose last is {last}{more}")


def nearest_checkpoint(run_dir: Path, lines: list[Line]) -> Path | None:
    """Return the newest whole checkpoint before the last of these lines' steps that lies on their timeline.

    Raises:
        ConfigError: there is none, and the run did not begin with the initial weights.
    """
    kept = {int(line["step"]): _bits(line) for line in read_metrics(run_dir / METRICS)}
    steps = {int(line["step"]) for line in lines[:-1] if kept.get(int(line["step"])) == _bits(line)}
    for path in step_folders(run_dir / CHECKPOINTS):
        if step_of(path) in steps and (manifest := manifest_of(path)) and manifest.healthy:
            return path
    begun = next((line for line in read_lines(run_dir / JOURNAL) if line.get("event") == BEGUN), None)
    if begun is not None:
        raise ConfigError(
            f"step: no checkpoint of {run_dir} is before it, and the run began with {begun['checkpoint']}; take a "
            "later step, or keep more checkpoints (checkpoint.keep_every_steps)"
        )
    return None


def config_for(run_dir: Path, checkpoint: Path | None, step: int) -> dict[str, Any]:
    """Return the config that a step was made with, as far as the run's folder tells: config.yaml is of its last start.

    Its allow_change lets the checkpoint be gone on from, as it was then.

    Args:
        checkpoint: that the step is done again from.
        step: steps finished with it.
    """
    journal = run_dir / JOURNAL
    told = [*read_lines(journal), *read_lines(journal.with_suffix(".dropped.jsonl"))]
    since = 0 if checkpoint is None else step_of(checkpoint) or 0
    changed = {line["key"] for line in told if line.get("event") == CHANGE and since <= line["step"] < step}
    source = checkpoint
    if checkpoint is None or changed:  # what the run saved next, it saved with the settings that it went on with
        later = [path for path in step_folders(run_dir / CHECKPOINTS) if (step_of(path) or 0) >= step]
        source = next((path for path in reversed(later) if (found := manifest_of(path)) and found.healthy), None)
    config = {} if source is None else config_of(open_checkpoint(source).facts)
    newest = read_config(run_dir / CONFIG)
    config = config or newest
    where = {key: value for key, value in newest["data"].items() if key == "path"}  # where the shards lie by now
    return (
        config
        | {"data": config["data"] | where}
        | {"allow_change": sorted(key for key in changed if rule_of(key).kind is Class.ASKS)}
    )


def _bits(line: Line) -> list[Any]:
    """Return what tells a step on one timeline from the same step on another."""
    return [line["data_step"], *map(spelled, (line["loss"], line["grad_norm"]))]


def replay(run: Run, checkpoint: Path | None, lines: list[Line]) -> Replayed:
    """Do the steps of `lines` again, from a checkpoint or the first step on. Called on every rank; writes nothing.

    Args:
        run: assembled, in another folder than that of the run which is looked into.
        checkpoint: as `nearest_checkpoint` gives it.
        lines: as `lines_to` gives them; their batches and learning rates are taken.
    Raises:
        GroundworkError: a line misses between the checkpoint and the step.
    """
    if checkpoint is not None:
        restore(run, str(checkpoint))
    start, last = run.progress.step, int(lines[-1]["step"])
    todo = [line for line in lines if line["step"] > start]
    if [int(line["step"]) for line in todo] != list(range(start + 1, last + 1)):
        raise GroundworkError(f"the lines of steps {start + 1} to {last} are not all there; take another step")
    begun = "the initial weights" if checkpoint is None else str(checkpoint)
    if run.mesh.is_main and len(todo) > 1:
        print(ahead(todo, begun), file=sys.stderr, flush=True)
    run.wrapped.train()
    said_s, differs = time.monotonic(), None
    for line in todo[:-1]:
        result = _again(run, line)
        differs = differs or _differing(line, result)
        run.optimizer.step(line["lr"], result.judgement[0], clip_scale(result.grad_norm, run.max_grad_norm))
        run.optimizer.zero_grad()
        run.progress.step += 1
        if run.mesh.is_main and time.monotonic() - said_s > LINE_EVERY_S:
            said_s = time.monotonic()
            print(f"step {line['step']} of {last}", file=sys.stderr, flush=True)
    result = _again(run, lines[-1])
    differs = differs or _differing(lines[-1], result)
    record = _record(lines[-1], result)
    return Replayed(lines[-1], record, look_inside(run, record), differs, begun, len(todo))


def ahead(lines: list[Line], begun: str) -> str:
    """Return what is about to be done: how many steps, from where, how long that took then, and what would shorten it.

    Args:
        lines: of the steps. begun: where the first begins, in words.
    """
    told = f"step {lines[-1]['step']}: {number_of(len(lines), 'step')} from {begun} on are done again"
    times = [float(line["step_time_s"]) for line in lines if "step_time_s" in line]
    if times:
        each_s = statistics.median(times)  # a first step compiles
        told += f", about {clock(each_s * len(lines))} where a step takes {step_time(each_s)} as then"
    if len(lines) > MANY_STEPS:
        told += "; a training with checkpoint.keep_every_steps=N keeps checkpoints that lie nearer to each step"
    return told


def _again(run: Run, line: Line) -> StepResult:
    result = forward_backward(run, run.loader.micro_batches(int(line["data_step"])))
    assert result is not None, "nobody listens to signals here"
    return result


def _differing(line: Line, result: StepResult) -> int | None:
    """Return the step where its bits are not those of its line."""
    found = spelled([result.loss.item(), result.grad_norm.item()])
    return None if found == spelled([line["loss"], line["grad_norm"]]) else int(line["step"])


def _record(line: Line, result: StepResult) -> Record:
    bad, *evidence = result.judgement.tolist()
    return Record(
        step=int(line["step"]),
        data_step=int(line["data_step"]),
        lr=line["lr"],
        finished_s=0.0,
        loss=result.loss.item(),
        grad_norm=result.grad_norm.item(),
        skipped=bad > 0,
        num_targets=int(result.num_targets),
        stop=False,
        evidence=tuple(evidence),
        result=result,
    )
