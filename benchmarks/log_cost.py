"""What logging every step costs the training, and what looking into steps does.

    OMP_NUM_THREADS=2 python benchmarks/log_cost.py --repeats 5 --out docs/benchmarks/log_cost_cpu.md

First the host's time of one step's line, by what it goes to: the time that the loop is held, and the CPU time of the
whole process, which has that of the threads that feed child processes in it. Then what a step measures for its line.
Last whole runs of a small model in turns, with watch=none, default and full. (No file here is called logging.py: the
scripts import each other by name, and torch imports the standard library's.)
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from table import measured_with, ratio, spread, table
from train_loop import write_corpus

from foundation.config import DEFAULT_TARGETS
from foundation.config.compose import plain
from pretrain.data.loader import hash_of_samples
from pretrain.main import Config, assemble, check_config
from pretrain.mesh import Mesh
from pretrain.metrics.lines import read_metrics
from pretrain.metrics.measures import largest_gradient, sum_by_source, targets_by_source
from pretrain.run import Run
from pretrain.train import forward_backward, norms_of_gradients, train
from pretrain.types import Batch, Record

REPOSITORY = Path(__file__).resolve().parent.parent
CPU = Mesh(0, 1, 0, torch.device("cpu"))
VOCAB = 16_384
CONSOLE = "+logger.loggers.console={_target_: pretrain.metrics.console.Console}"
LOGGERS = {
    "metrics.jsonl alone": ["logger=none"],
    "and the console": ["logger=console"],
    "and wandb, offline": ["logger=wandb", CONSOLE, "logger.loggers.wandb.mode=offline"],
    "and TensorBoard": ["logger=tensorboard", CONSOLE],
}
WATCHES = {"watch=none": ["watch=none"], "watch=default": ["watch=default"], "watch=full": ["watch=full"]}
GOAL_FRAC, GOAL_STEP_MS = 0.005, 50.0
SETTLING_STEPS = 1  # first allocations, and a look that every watched run begins with


def make_run(folder: Path, name: str, steps: int, overrides: list[str]) -> Run:
    """Return a run of gpt_tiny on made-up tokens, 8 sequences of 256 tokens a step."""
    line = ["model=gpt_tiny", f"data.path={folder / 'shards_of_ours'}", "eval=none", "checkpoint=none", "logger=none"]
    line += ["trainer.seq_len=256", "trainer.global_batch_size=8", "trainer.micro_batch_size=8", "precision=float32"]
    line += ["trainer.device_type=cpu", f"trainer.max_steps={steps}", "schedule.warmup_steps=0"]
    line += [f"runs_dir={folder / 'runs'}", f"run_name={name}", "data.max_epochs_per_source=null"]
    changed = {text.partition("=")[0] for text in overrides}
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        tree = plain(compose("train", [*(text for text in line if text.partition("=")[0] not in changed), *overrides]))
    (folder / "runs" / name).mkdir(parents=True)
    return assemble(CPU, Config(**check_config(tree, DEFAULT_TARGETS)))


def time_lines(folder: Path, name: str, overrides: list[str], steps: int) -> tuple[float, float]:
    """Return milliseconds a step: that the loop is held for its line, and of CPU in all threads of this process."""
    run = make_run(folder, name, steps, overrides)
    log, held_s = run.log, 0.0
    log.start()
    nowhere = io.StringIO()
    cpu_s = time.process_time()
    for step in range(1, steps + 1):
        record = Record(
            *(step, step - 1, 1e-3, log.clock(), 5.0, 1.5, False, 2048, False), grad_max=0.1, source_targets=(2048,)
        )
        with contextlib.redirect_stdout(nowhere):
            started = time.perf_counter()
            log.add(record, step, 2048 * step)
            held_s += time.perf_counter() - started
        time.sleep(0.002)  # as long as a very short step: the feeding threads work meanwhile, as they do in a run
    cpu_s = time.process_time() - cpu_s
    log.close("finished")
    run.loader.close()
    return 1000 * held_s / steps, 1000 * cpu_s / steps


def time_measures(run: Run, repeats: int) -> dict[str, list[float]]:
    """Return milliseconds of what a step measures for its line, by name."""
    batches = run.loader.micro_batches(0)
    result = forward_backward(run, batches)
    assert result is not None
    sources_B = torch.arange(8) % 2
    mixed = [Batch(b.inputs_BT, b.targets_BT, b.samples, b.keys_B, sources_B, b.hash) for b in batches]
    tokens = batches[0].inputs_BT.numpy().astype(np.int32)
    parts: dict[str, Callable[[], Any]] = {
        "norm of each gradient (as before)": lambda: norms_of_gradients(run.model),
        "largest gradient": lambda: largest_gradient(run.model),
        "targets and nats of two sources": lambda: (
            targets_by_source(mixed, 2),
            sum_by_source(result.losses_AB.flatten(), mixed, 2),
        ),
        "hash of the batch, in the reading thread": lambda: hash_of_samples(batches[0].samples, tokens),
    }
    taken: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(repeats + 1):  # the first one warms up
        for name, part in parts.items():
            started = time.perf_counter()
            part()
            taken[name].append(1000 * (time.perf_counter() - started))
    run.optimizer.zero_grad()
    return {name: times[1:] for name, times in taken.items()}


class RunTimes(NamedTuple):
    """Milliseconds a step, means over a whole run: on the wall, of them looking into steps, and of CPU in all threads.

    Looking is the time that the loop is held: by looks, and by making and writing what they saw.
    """

    step_ms: float
    looking_ms: float
    cpu_ms: float


def time_run(folder: Path, name: str, overrides: list[str], steps: int) -> RunTimes:
    """Return the times of a run."""
    run = make_run(folder, name, steps, overrides)
    cpu_s = time.process_time()
    train(run)
    cpu_s = time.process_time() - cpu_s
    run.loader.close()
    run.log.close("finished")
    lines = list(read_metrics(folder / "runs" / name / "metrics.jsonl"))
    timed = lines[SETTLING_STEPS:]
    step_s = statistics.mean(line["step_time_s"] for line in timed)
    looking_s = statistics.mean(line["times"]["watch_s"] for line in timed)
    return RunTimes(1000 * step_s, 1000 * looking_s, 1000 * cpu_s / steps)


def measure(folder: Path, repeats: int, lines: int, steps: int) -> list[str]:
    """Return the page's tables."""
    write_corpus(folder, VOCAB)
    held: dict[str, list[tuple[float, float]]] = {name: [] for name in LOGGERS}
    runs: dict[str, list[RunTimes]] = {name: [] for name in WATCHES}
    for repeat in range(repeats):
        for place, (name, overrides) in enumerate(LOGGERS.items()):
            held[name].append(time_lines(folder, f"lines_{place}_{repeat}", overrides, lines))
            print(f"{name}, repeat {repeat + 1}: {held[name][-1]} ms held and of CPU a line", file=sys.stderr)
        turn = repeat % len(WATCHES)  # each is first as often as last
        for name in [*WATCHES][turn:] + [*WATCHES][:turn]:
            runs[name].append(time_run(folder, f"{name.partition('=')[2]}_{repeat}", WATCHES[name], steps))
            print(f"{name}, repeat {repeat + 1}: {runs[name][-1]}", file=sys.stderr)
    run = make_run(folder, "measures", 1, [])
    measures = time_measures(run, 5 * repeats)
    run.loader.close()
    step_ms = statistics.median(times.step_ms for times in runs["watch=none"])
    goal = f"{GOAL_FRAC:.1%} of a step of {GOAL_STEP_MS:.0f} ms"
    rows = [["a line goes to", "ms held", "ms of CPU, all threads", f"held, of {GOAL_STEP_MS:.0f} ms"]]
    for name, pairs in held.items():
        waits, works = ([pair[part] for pair in pairs] for part in (0, 1))
        rows.append([name, spread(waits, 3), spread(works, 3), f"{statistics.median(waits) / GOAL_STEP_MS:.2%}"])
    parts = [["measured in a step", "ms", f"of its {step_ms:,.0f} ms"]]
    parts += [[name, spread(t, 3), f"{statistics.median(t) / step_ms:.2%}"] for name, t in measures.items()]
    looks = [["run", "ms a step", "above watch=none", "ms looking", "ms of CPU, all threads", "above watch=none"]]
    alone_ms, _, alone_cpu_ms = map(list, zip(*runs["watch=none"], strict=True))
    for name, taken in runs.items():
        steps_ms, looking_ms, cpu_ms = map(list, zip(*taken, strict=True))
        row = [name, spread(steps_ms, 1), f"{ratio(steps_ms, alone_ms) - 1:+.1%}", spread(looking_ms, 2)]
        looks.append([*row, spread(cpu_ms, 1), f"{ratio(cpu_ms, alone_cpu_ms) - 1:+.1%}"])
    return [
        "## A line a step", "", f"The goal is {goal}.", "", table(rows), "",
        "## What a step measures for its line", "", table(parts), "",
        "## Looking into steps", "",
        f"gpt_tiny, {VOCAB:,} tokens, 8 sequences of 256 a step, {steps} steps a run", "", table(looks), "",
    ]  # fmt: skip


def main() -> None:
    """Measure and print, or write, the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--lines", type=int, default=1000, help="lines that are logged in a repeat")
    parser.add_argument("--steps", type=int, default=101, help="steps of each run")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), given.repeats, given.lines, given.steps)
    page = ["# Logging", "", *found, *measured_with(("torch", "wandb", "orjson"), REPOSITORY, given.repeats)]
    text = "\n".join(page) + "\n"
    print(text) if given.out is None else given.out.write_text(text)


if __name__ == "__main__":
    main()
