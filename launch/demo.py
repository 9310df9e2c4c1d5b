"""The whole way in a few minutes: raw text to shards, training, a stop, a resume, a sample (`make demo`).

Every step is one line that a user types, shown before it runs. The length of the training is fitted to this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pretrain.run_files import CONFIG, read_status

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
TRAIN_S = 120.0  # that the training is to take on a CPU
SEQ_LEN, BATCH_SIZE = 256, 4  # on a CPU: short steps, so that a few minutes hold many
FLOP_PER_TOKEN = 71e6  # of gpt_tiny, forward and backward, attention over 256 tokens included
EFFICIENCY = 0.75  # of a training step against a 1024 x 1024 matrix product, measured on two cores with AVX-512
STOP_AT_FRAC = 0.4
MIN_STEPS, MAX_STEPS = 40, 1000


def main() -> None:
    """Run the demo; exit with the code of the first step that fails, 2 for an argument: it takes none."""
    argparse.ArgumentParser(prog="python launch/demo.py", description=__doc__).parse_args()
    started = time.monotonic()
    os.chdir(ROOT)
    run_dir, is_new = choose_run_dir(Path("runs"))
    say("1 of 5", "raw text to token shards, from the embedded corpus: the documentation of Python and its packages")
    run("python", "-m", "data_pipeline")
    if is_new:
        overrides, max_steps = fitted_to_machine()
        line = ("torchrun", "launch/train.py", "model=gpt_tiny", *overrides, f"run_name={run_dir.name}")
        kept = "" if run_dir.name == "demo" else f" (in {run_dir}: an earlier demo is kept)"
        say("2 of 5", f"shards to a model{kept}; after a while the trainer gets a SIGTERM, saves and leaves")
        train_and_stop(line, run_dir, int(max_steps * STOP_AT_FRAC))
        say("3 of 5", "the same line again: it goes on where it stopped")
        run(*line)
    else:
        say("2 and 3 of 5", f"shards to a model: {run_dir} was stopped before its end, and its own config goes on")
        anew = f"where it can't go on, because its data or the code has changed: move {run_dir} away to begin anew"
        run("torchrun", "launch/train.py", "--config-path", str(run_dir), "--config-name", "config", if_it_fails=anew)
    say("4 of 5", "what the model writes: so short a training shows that it works, and no English yet")
    run("python", "launch/generate.py", f"run={run_dir}", "prompt=Return the", "max_new_tokens=100")
    say("5 of 5", f"done in {time.monotonic() - started:.0f} s; the pages to open in a browser:")
    print(f"  {ROOT / 'data' / 'pydocs' / 'report.html'}\n  {ROOT / run_dir / 'report.html'}")


def choose_run_dir(runs: Path) -> tuple[Path, bool]:
    """Return the folder to train in and whether it is a new one: runs/demo, runs/demo_2 and so on.

    The newest demo goes on where it was stopped; one that has ended is kept.
    """
    folders = [runs / name for name in ("demo", *(f"demo_{number}" for number in range(2, 1000)))]
    new = next(number for number, folder in enumerate(folders) if not folder.exists())
    newest = folders[max(new - 1, 0)]
    return (newest, False) if was_stopped(newest) else (folders[new], True)


def was_stopped(run_dir: Path) -> bool:
    """Return whether there is a run that was stopped or killed before its end."""
    if not (run_dir / CONFIG).exists():
        return False
    from pretrain.types import Status  # brings torch: seconds, that a first demo begins without

    return read_status(run_dir).get("status") in (None, Status.PREEMPTED.value)


def fitted_to_machine() -> tuple[list[str], int]:
    """Return overrides that make the training a few minutes long here, and its steps."""
    import torch

    if torch.cuda.is_available():
        steps, sizes = MAX_STEPS, ["trainer.global_batch_size=64", "trainer.micro_batch_size=64"]
        sizes.append("data.max_epochs_per_source=null")  # 16 M tokens may be more than 4 times the embedded corpus
    else:
        seconds_per_step = SEQ_LEN * BATCH_SIZE * FLOP_PER_TOKEN / (EFFICIENCY * matmul_flops_per_s())
        steps = min(MAX_STEPS, max(MIN_STEPS, int(TRAIN_S / seconds_per_step) // 10 * 10))
        sizes = [f"trainer.global_batch_size={BATCH_SIZE}", f"trainer.micro_batch_size={BATCH_SIZE}"]
    length = [f"trainer.max_steps={steps}", f"trainer.seq_len={SEQ_LEN}", *sizes, "optim.lr=1e-3"]
    evaluation = [f"eval.every_steps={steps // 2}", "eval.max_tokens=20_000", "eval.train_subset_sequences=8"]
    return [*length, *evaluation, "logger.loggers.wandb.mode=offline"], steps


def matmul_flops_per_s() -> float:
    """Measure a matrix product in float32 on all cores, for half a second."""
    import torch

    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    a @ b
    started, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < 0.5:
        a @ b
        count += 1
    return count * 2 * 1024**3 / elapsed


def train_and_stop(line: tuple[str, ...], run_dir: Path, stop_step: int) -> None:
    """Train until some steps are done, then ask the trainer to stop, as a cluster does before it takes the machine."""
    process = subprocess.Popen(shown(*line))
    with after_ctrl_c(process):
        while process.poll() is None and steps_done(run_dir) < stop_step:
            time.sleep(0.2)
    if process.poll() is None:
        print(f"$ kill -TERM {trainer_pid(run_dir)}", flush=True)
        os.kill(trainer_pid(run_dir), signal.SIGTERM)
    with after_ctrl_c(process):
        process.wait()
    if process.returncode:
        sys.exit(process.returncode)


def steps_done(run_dir: Path) -> int:
    """Return how many steps the run has written down."""
    path = run_dir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def trainer_pid(run_dir: Path) -> int:
    """Return the process that holds the run's folder: the worker, of which torchrun is the parent."""
    owner = (run_dir / ".lock").read_text()
    found = re.match(r"process (\d+) ", owner)
    assert found is not None, owner
    return int(found[1])


def run(*line: str, if_it_fails: str = "") -> None:
    """Run one line to its end; leave with its code if it fails, and say what can be done then."""
    process = subprocess.Popen(shown(*line))
    with after_ctrl_c(process):
        process.wait()
    if process.returncode:
        sys.stderr.write(f"{if_it_fails}\n" if if_it_fails else "")
        sys.exit(process.returncode)


@contextlib.contextmanager
def after_ctrl_c(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave at a Ctrl-C inside this block, once the step, which hears it from the terminal too, has saved and ended."""
    try:
        yield
    except KeyboardInterrupt:
        while process.poll() is None:
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
        print("\nstopped; `make demo` again goes on from what is done", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def shown(program: str, *arguments: str) -> list[str]:
    """Print a line as a user types it; return it with the program of this environment."""
    print(f"$ {shlex.join([program, *arguments])}\n", flush=True)
    return [str(BIN / program), *arguments]


def say(part: str, text: str) -> None:
    """Print the heading of a part."""
    print(f"\n── {part} ── {text}", flush=True)


if __name__ == "__main__":
    main()
