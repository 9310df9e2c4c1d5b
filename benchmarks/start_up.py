"""Seconds from a typed command to its help, or to its first training step, beside a floor or a peer.

    git clone https://github.com/karpathy/nanoGPT
    python benchmarks/start_up.py --peer-dir nanoGPT --repeats 7 --out docs/benchmarks/start_up_cpu.md

Each command is a new process, timed from outside, ours and what stands beside it in turns. The first step is finished
when its line stands in metrics.jsonl (ours) or on the output (nanoGPT's).
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import yaml
from table import commit_of, cpu_name, ratio, spread, table
from train_loop import write_corpus

REPOSITORY = Path(__file__).resolve().parent.parent
CONF = REPOSITORY / "conf"
COMPOSE = "from hydra import compose, initialize_config_dir as init; init({!r}, version_base='1.3'); compose({!r})"
VOCAB_SIZE = 16384  # gpt_tiny's
SEQ_LEN, BATCH_SIZE = 256, 4
POLL_S = 0.005


@dataclass(frozen=True)
class Timed:
    """A command. Attributes: until: its time ends when this file holds this text; None: when it ends."""

    what: str
    command: list[str]
    until: tuple[Path, str] | None = None
    cwd: Path = REPOSITORY


@dataclass(frozen=True)
class Pair:
    """What is compared. Attributes: beside: a floor, which no such command can go below, or a peer."""

    ours: Timed
    beside: Timed


def main() -> None:
    """Read the command line, measure, print the table and write it."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder, VOCAB_SIZE)
        (folder / "empty.py").write_text("")
        rows = [measure(pair, options.repeats, folder) for pair in pairs(folder, options.peer_dir)]
    header = ["command", "seconds", "beside it", "seconds", "ratio"]
    lines = [table([header, *rows]), "", *_notes(options)]
    print("\n".join(lines))
    if options.out:
        options.out.write_text("# Start-up\n\n" + "\n".join(lines) + "\n")


def pairs(folder: Path, peer_dir: Path | None) -> list[Pair]:
    """Return what is compared with what."""
    python = sys.executable
    torchrun = [python, "-m", "torch.distributed.run"]
    bare_torch = Timed("`import torch`", [python, "-c", "import torch"])
    empty = Timed("torchrun of an empty file", [*torchrun, str(folder / "empty.py")])
    help_of = [
        Pair(
            Timed("`python -m data_pipeline --help`", [python, "-m", "data_pipeline", "--help"]),
            Timed("Hydra's compose of the same tree", [python, "-c", COMPOSE.format(str(CONF), "pipeline")]),
        ),
        Pair(
            Timed("`python launch/train.py --help`", [python, "launch/train.py", "--help"]),
            Timed("Hydra's compose of the same tree", [python, "-c", COMPOSE.format(str(CONF), "train")]),
        ),
        Pair(Timed("`python launch/generate.py --help`", [python, "launch/generate.py", "--help"]), bare_torch),
    ]
    alone = first_step("`python launch/train.py`, first step", [python], folder, "alone")
    under = first_step("`torchrun launch/train.py`, first step", torchrun, folder, "under")
    peer = [Pair(alone, nanogpt_first_step(folder, peer_dir))] if peer_dir else []
    return [*help_of, Pair(alone, bare_torch), *peer, Pair(under, empty), Pair(under, alone)]


def first_step(what: str, starter: list[str], folder: Path, name: str) -> Timed:
    """Return the README's first training command for a CPU, up to its first line of metrics."""
    settings = {
        "model": "gpt_tiny",
        "data.path": folder / "shards_of_ours",
        "runs_dir": folder / "runs",
        "run_name": name,
        "trainer.seq_len": SEQ_LEN,
        "trainer.global_batch_size": BATCH_SIZE,
        "trainer.micro_batch_size": BATCH_SIZE,
        "trainer.max_steps": 1,
        "trainer.device_type": "cpu",
        "eval": "none",  # comes after the first step, and is waited for
        "checkpoint": "none",
    }
    arguments = [f"{key}={value}" for key, value in settings.items()]
    command = [*starter, str(REPOSITORY / "launch" / "train.py"), *arguments]
    return Timed(what, command, (folder / "runs" / name / "metrics.jsonl", "step_time_s"), folder)


def nanogpt_first_step(folder: Path, peer_dir: Path) -> Timed:
    """Return nanoGPT's command at gpt_tiny's shape, up to its first line of a step; it evaluates one batch before."""
    sizes = yaml.safe_load((CONF / "model" / "gpt_tiny.yaml").read_text())
    settings = {
        "dataset": folder / "bin_of_nanogpt",
        "out_dir": folder / "out",
        "device": "cpu",
        "dtype": "float32",
        "compile": False,
        "block_size": SEQ_LEN,
        "batch_size": BATCH_SIZE,
        "gradient_accumulation_steps": 1,
        "n_layer": sizes["num_layers"],
        "n_head": sizes["num_heads"],
        "n_embd": sizes["d_model"],
        "bias": True,
        "max_iters": 0,
        "eval_iters": 1,
    }
    command = [sys.executable, "-u", "train.py", *(f"--{key}={value}" for key, value in settings.items())]
    return Timed("nanoGPT's train.py, first step", command, (folder / "log", "iter 0: loss"), peer_dir)


def measure(pair: Pair, repeats: int, folder: Path) -> list[str]:
    """Return a line of the table; one untimed start of each before, for the disk's cache and Python's bytecode."""
    seconds(pair.ours, folder), seconds(pair.beside, folder)
    ours, beside = [], []
    for _ in range(repeats):
        ours.append(seconds(pair.ours, folder))
        beside.append(seconds(pair.beside, folder))
    print(f"{pair.ours.what}: {spread(ours, 2)}; {pair.beside.what}: {spread(beside, 2)}", file=sys.stderr)
    return [pair.ours.what, spread(ours, 2), pair.beside.what, spread(beside, 2), f"{ratio(ours, beside):.2f}"]


def seconds(timed: Timed, folder: Path) -> float:
    """Start the command; return the seconds until it has shown what it is timed to, or ended."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    log = folder / "log"
    with log.open("wb") as stream:
        started = time.perf_counter()
        process = subprocess.Popen(timed.command, cwd=timed.cwd, stdout=stream, stderr=subprocess.STDOUT, env=_env())
        shown = _wait(process, timed.until)
        took = time.perf_counter() - started
        code = process.wait()
    if code or not shown:
        raise SystemExit(f"{' '.join(timed.command)} ended with {code}\n{log.read_text()[-4000:]}")
    return took


def _wait(process: subprocess.Popen[bytes], until: tuple[Path, str] | None) -> bool:
    if until is None:
        process.wait()
        return True
    path, text = until
    while not (shows := path.is_file() and text in path.read_text()) and process.poll() is None:
        time.sleep(POLL_S)
    return shows


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "WANDB_MODE": "offline"}


def _notes(options: argparse.Namespace) -> list[str]:
    peer = f", nanoGPT {commit_of(options.peer_dir)}" if options.peer_dir else "; nanoGPT was not given (--peer-dir)"
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "hydra-core"))
    return [
        f"- machine: {cpu_name()}, {os.cpu_count()} cores; Python {platform.python_version()}, {libraries}{peer}",
        f"- starts in turns: {options.repeats}, after one that is not counted; median (least to most)",
        "- ratio: median of the pairs'",
        f"- first step: gpt_tiny, {BATCH_SIZE} x {SEQ_LEN} tokens, the default logger, W&B offline",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "--peer-dir", type=Path, help="a clone of nanoGPT; without it its first step is left out, and the table says so"
    )
    add("--repeats", type=int, default=7, help="times that each command is started")
    add("--out", type=Path, help="markdown file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
