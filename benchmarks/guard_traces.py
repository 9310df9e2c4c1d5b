"""Records losses and gradient norms of real runs that go well, for guard.py to replay.

    OMP_NUM_THREADS=1 python benchmarks/guard_traces.py data/pydocs traces --repeats 3

Small GPTs and an LSTM learn the embedded corpus, in this process, with spike=none: every step is learnt from, so what a
rule would have done never changes what it is shown. Each repeat has a seed of its own. A trace that is there already is
kept; a run of the same name and repeat on the same data and machine gives the same bits.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from foundation.config import DEFAULT_TARGETS
from foundation.config.compose import plain
from pretrain.main import Config, assemble, check_config
from pretrain.mesh import Mesh
from pretrain.metrics.lines import read_metrics
from pretrain.run import Run
from pretrain.train import train

REPOSITORY = Path(__file__).resolve().parent.parent
CPU = Mesh(0, 1, 0, torch.device("cpu"))


@dataclass(frozen=True)
class Trace:
    """What a rule sees of a run.

    Attributes:
        name: of the run and its repeat. about: its shape, in words.
        losses: nats per token, a step each. norms: before clipping.
    """

    name: str
    about: str
    losses: list[float]
    norms: list[float]


def gpt(layers: int, width: int, heads: int, seq_len: int, batch_size: int) -> list[str]:
    """Return the overrides of a small GPT."""
    sizes = {"model.num_layers": layers, "model.d_model": width, "model.num_heads": heads}
    sizes |= {"model.context_len": seq_len, "trainer.seq_len": seq_len}
    sizes |= {"trainer.global_batch_size": batch_size, "trainer.micro_batch_size": batch_size}
    return [f"{key}={value}" for key, value in sizes.items()]


# name -> (in words, steps, seed of the first repeat, overrides)
RUNS: dict[str, tuple[str, int, int, list[str]]] = {
    "hot": (
        "2 layers of 32, 4 x 32 tokens, warm-up, then lr 1e-2 throughout",
        *(3000, 1),
        [*gpt(2, 32, 2, 32, 4), "optim.lr=1e-2", "schedule=constant"],
    ),
    "cut": ("gpt_tiny cut to 2 layers (of 256), 8 x 64 tokens, defaults", 1500, 2, gpt(2, 256, 4, 64, 8)),
    "small": ("2 layers of 64, 8 x 64 tokens, lr 1e-3", 2000, 0, [*gpt(2, 64, 2, 64, 8), "optim.lr=1e-3"]),
    "larger": (
        "2 layers of 96, 16 x 64 tokens, warm-up of 200 steps, lr 2e-3 decaying to 0",
        *(1500, 3),
        [*gpt(2, 96, 4, 64, 16), "optim.lr=2e-3", "schedule.min_lr_frac=0.0", "schedule.warmup_steps=200"],
    ),
    "two sequences": (
        "1 layer of 32, 2 x 64 tokens, lr 3e-3",
        *(3000, 6),
        [*gpt(1, 32, 2, 64, 2), "optim.lr=3e-3"],
    ),
    "small, hot": ("2 layers of 64, 8 x 64 tokens, lr 5e-3", 1500, 1, [*gpt(2, 64, 2, 64, 8), "optim.lr=5e-3"]),
    "lstm": (
        "LSTM of 64, 8 x 64 tokens, defaults",
        *(1500, 1234),
        [
            *("model=lstm_tiny", "model.d_model=64", "model.context_len=64", "trainer.seq_len=64"),
            *("trainer.global_batch_size=8", "trainer.micro_batch_size=8"),
        ],
    ),
}


def make_run(data: Path, runs_dir: Path, steps: int, overrides: list[str]) -> Run:
    """Return a run of the loop alone: nothing is logged but the metrics, evaluated or saved."""
    line = {"model": "gpt_tiny", "data.path": data, "data.max_epochs_per_source": "null", "precision": "float32"}
    line |= {"eval": "none", "checkpoint": "none", "logger": "none", "watch": "none", "spike": "none"}
    line |= {"trainer.preflight": "none", "trainer.device_type": "cpu", "trainer.max_steps": steps}
    line |= {"runs_dir": runs_dir, "run_name": "run"}
    changed = {text.partition("=")[0] for text in overrides}
    kept = [f"{key}={value}" for key, value in line.items() if key not in changed]
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        tree = plain(compose("train", [*kept, *overrides]))
    return assemble(CPU, Config(**check_config(tree, DEFAULT_TARGETS)))


def record(name: str, data: Path, repeat: int) -> Trace:
    """Train one of RUNS; return what a rule sees of it.

    Args:
        data: a folder of shards. repeat: added to the seed.
    """
    about, steps, seed, overrides = RUNS[name]
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(data, Path(folder), steps, [*overrides, f"seed={seed + repeat}"])
        train(run)
        run.loader.close()
        run.log.close("finished")
        lines = list(read_metrics(Path(folder) / "run/metrics.jsonl"))
    return Trace(f"{name}.{repeat}", about, [line["loss"] for line in lines], [line["grad_norm"] for line in lines])


def read_traces(folder: Path) -> list[Trace]:
    """Return the traces of a folder, in the order of RUNS."""
    paths = [path for name in RUNS for path in sorted(folder.glob(f"{name}.*.json"))]
    return [Trace(**json.loads(path.read_text())) for path in paths]


def main() -> None:
    """Record what isn't there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder of shards, such as data/pydocs")
    parser.add_argument("folder", type=Path, help="where the traces are kept")
    parser.add_argument("--only", choices=RUNS, nargs="+", default=list(RUNS))
    parser.add_argument("--repeats", type=int, default=1, help="of each run, with another seed each")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, repeat in itertools.product(given.only, range(given.repeats)):
        path = given.folder / f"{name}.{repeat}.json"
        if path.exists():
            continue
        started = time.perf_counter()
        trace = record(name, given.data.resolve(), repeat)
        path.write_text(json.dumps(asdict(trace)))
        took_s = time.perf_counter() - started
        print(f"{trace.name}: {len(trace.losses)} steps in {took_s:.0f} s, loss {trace.losses[-1]:.3f}")


if __name__ == "__main__":
    main()
