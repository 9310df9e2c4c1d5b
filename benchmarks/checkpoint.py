"""How long a save holds the training, beside PyTorch's own ways to save, on the same state; and what hashing costs.

    OMP_NUM_THREADS=2 python benchmarks/checkpoint.py --repeats 7 --out docs/benchmarks/checkpoint_cpu.md

The state is a GPT's: float32 weights and AdamW's two moments. All sides save it in turns, each time into an empty
folder, and load it again; a save is over when its bytes are flushed to disk (torch.save doesn't flush: it is told to).
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
import xxhash
from pipeline_peers import peak_mb
from table import commit_of, cpu_name, spread, table
from torch import Tensor
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

from foundation.files import sync_dir, sync_file
from foundation.hashes import BLOCK_BYTES
from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.types import TrainState

REPOSITORY = Path(__file__).resolve().parent.parent
CPU = torch.device("cpu")
PLAN = Plan(8, 4, 4, 1, max_steps=10**9, samples_per_epoch=1000, seed=0)
NOTHING = "the state alone"
State = dict[str, Tensor]


class Side(ABC):
    """One way to save."""

    name: str

    @abstractmethod
    def save(self, state: State, folder: Path) -> Callable[[], None]:
        """Save into `folder`; return what waits for the rest."""

    @abstractmethod
    def load(self, state: State, folder: Path) -> None:
        """Fill `state`."""


class Torch(Side):
    name = "torch.save, fsync; torch.load"

    def save(self, state: State, folder: Path) -> Callable[[], None]:
        torch.save(state, folder / "state.pt")
        sync_file(folder / "state.pt")
        sync_dir(folder)
        return lambda: None

    def load(self, state: State, folder: Path) -> None:
        loaded = torch.load(folder / "state.pt", weights_only=True)
        for name, tensor in state.items():
            tensor.copy_(loaded[name])


class Dcp(Side):
    name = "DCP save; load"

    def save(self, state: State, folder: Path) -> Callable[[], None]:
        dcp.save(dict(state), checkpoint_id=folder)
        return lambda: None

    def load(self, state: State, folder: Path) -> None:
        dcp.load(dict(state), checkpoint_id=folder)


class DcpAsync(Dcp):
    name = "DCP async_save"

    def save(self, state: State, folder: Path) -> Callable[[], None]:
        return _waiting_for(dcp.async_save(dict(state), checkpoint_id=folder))


class DcpAsyncKept(Dcp):
    name = "DCP async_save, its stager kept"

    def __init__(self) -> None:
        self._stager = DefaultStager(StagingOptions(False, False, False, False))

    def save(self, state: State, folder: Path) -> Callable[[], None]:
        return _waiting_for(dcp.async_save(dict(state), checkpoint_id=folder, async_stager=self._stager))


class Ours(Side):
    def __init__(self, asynchronous: bool) -> None:
        self.name = f"groundwork, asynchronous={str(asynchronous).lower()}"
        self._asynchronous, self._kept = asynchronous, None

    _kept: DcpCheckpoint | None

    def save(self, state: State, folder: Path) -> Callable[[], None]:
        if self._kept is None:  # as a run keeps it
            self._kept = DcpCheckpoint(1, 1, Mesh(0, 1, 0, CPU), PLAN, folder, asynchronous=self._asynchronous)
        self._kept._folder, self._kept._saved_step = folder / "checkpoints", None
        self._kept.save(1, TrainState(state, {"gate": {}}))
        return self._kept.wait

    def load(self, state: State, folder: Path) -> None:
        assert self._kept is not None and self._kept.load(TrainState(state, {"gate": {}}))


def _waiting_for(future: Any) -> Callable[[], None]:
    return lambda: future.result()


def sides() -> list[Side]:
    """Return all that are compared."""
    return [Torch(), Dcp(), DcpAsync(), DcpAsyncKept(), Ours(False), Ours(True)]


def make_state(gigabytes: float) -> State:
    """Return float32 weights and moments of this size: of a GPT's matrices, vectors and embedding."""
    width = 512 if gigabytes >= 0.5 else 256
    shapes = {"embedding": (16384, width)}
    layer = {"qkv": (3 * width, width), "out": (width, width), "up": (4 * width, width), "down": (width, 4 * width)}
    layer |= {"norm": (width,), "bias": (4 * width,)}
    left, number = gigabytes * 1e9 / 12 - 16384 * width, 0
    while left > 0:
        shapes |= {f"{number}.{name}": shape for name, shape in layer.items()}
        left, number = left - 12 * width * width - 5 * width, number + 1
    generator = torch.Generator().manual_seed(0)
    kinds = ("model.{}", "optim.{}.exp_avg", "optim.{}.exp_avg_sq")
    return {kind.format(name): torch.randn(shapes[name], generator=generator) for kind in kinds for name in shapes}


def size_bytes(state: State) -> int:
    """Return the bytes of all tensors."""
    return sum(tensor.nbytes for tensor in state.values())


def measure(state: State, repeats: int, folder: Path) -> dict[str, tuple[list[float], list[float], list[float]]]:
    """Return by side: seconds that the caller was held, seconds until it was on disk, seconds of a load.

    One turn that is not counted comes first: it makes what is kept from save to save.
    """
    all_sides = sides()
    taken = {side.name: ([], [], []) for side in all_sides}
    live = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    for repeat in range(repeats + 1):
        for side in all_sides:
            place = folder / "place"
            place.mkdir()
            os.sync()
            seconds = timed(side, state, live, place)
            shutil.rmtree(place)
            if repeat:
                for values, value in zip(taken[side.name], seconds, strict=True):
                    values.append(value)
            print(f"{side.name}: " + ", ".join(f"{value:.3f}" for value in seconds), file=sys.stderr)
    return taken


def timed(side: Side, state: State, live: State, place: Path) -> tuple[float, float, float]:
    """Save and load once; return seconds held, until on disk, of the load. What is loaded is compared."""
    started_s = time.perf_counter()
    wait = side.save(state, place)
    held_s = time.perf_counter() - started_s
    wait()
    whole_s = time.perf_counter() - started_s
    for tensor in live.values():
        tensor.zero_()
    started_s = time.perf_counter()
    side.load(live, place)
    load_s = time.perf_counter() - started_s
    assert all(torch.equal(live[name], tensor) for name, tensor in state.items()), side.name
    return held_s, whole_s, load_s


def hash_rate(state: State, repeats: int) -> list[float]:
    """Return GB/s of hashing alone, in the blocks of a checkpoint, on one thread."""
    rates = []
    for _ in range(repeats):
        started_s = time.perf_counter()
        for tensor in state.values():
            data = tensor.view(-1).view(torch.uint8).numpy().data
            for start in range(0, len(data), BLOCK_BYTES):
                xxhash.xxh3_128_digest(data[start : start + BLOCK_BYTES])
        rates.append(size_bytes(state) / 1e9 / (time.perf_counter() - started_s))
    return rates


def measure_memory(gigabytes: float, folder: Path) -> dict[str, float]:
    """Return by side the MB at its highest, each in a process of its own: two saves and no load."""
    context, found = multiprocessing.get_context("spawn"), {}
    for name in (NOTHING, *(side.name for side in sides())):
        ours, theirs = context.Pipe()
        process = context.Process(target=_report_peak, args=(name, gigabytes, folder, theirs))
        process.start()
        theirs.close()
        found[name] = ours.recv()
        process.join()
    return found


def _report_peak(name: str, gigabytes: float, folder: Path, pipe: Connection) -> None:
    _be_quiet()
    state = make_state(gigabytes)
    for side in (side for side in sides() if side.name == name):
        for number in range(2):
            place = folder / f"memory{number}"
            place.mkdir()
            side.save(state, place)()
            shutil.rmtree(place)
    pipe.send(peak_mb())


def report(gigabytes: float, repeats: int, folder: Path) -> list[str]:
    """Measure one size; return its tables."""
    state = make_state(gigabytes)
    taken, rates = measure(state, repeats, folder), hash_rate(state, repeats)
    whole_bytes, number = size_bytes(state), len(state)
    del state
    peaks = measure_memory(gigabytes, folder)
    rows = [["saved with", "s held", "s until on disk", "s of a load", "MB above the state"]]
    for name, (held, whole, load) in taken.items():
        above = f"{peaks[name] - peaks[NOTHING]:,.0f}"
        rows.append([name, spread(held, 3), spread(whole, 2), spread(load, 2), above])
    hashing_s = whole_bytes / 1e9 / statistics.median(rates)
    return [
        f"## {whole_bytes / 1e9:.2f} GB in {number} tensors",
        "",
        table(rows),
        "",
        f"Hashing alone, one thread: {spread(rates, 1)} GB/s, {hashing_s:.3f} s for this state.",
        "",
    ]


def main() -> None:
    """Read the command line, measure, print the tables and write them."""
    options = _options()
    _be_quiet()
    lines = []
    with tempfile.TemporaryDirectory(dir=options.disk) as name:
        for gigabytes in options.gigabytes:
            lines += report(gigabytes, options.repeats, Path(name))
    lines += _notes(options)
    print("\n".join(lines))
    if options.out:
        options.out.write_text("# Checkpoints\n\n" + "\n".join(lines) + "\n")


def _be_quiet() -> None:
    warnings.filterwarnings("ignore")  # of DCP, that it works in one process
    sys.stderr = sys.stderr if os.environ.get("SHOW") else _Filtered(sys.stderr)


class _Filtered(io.TextIOBase):
    """Leaves out what a checkpointer says of each save."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith("checkpoint: ") else self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


def _notes(options: argparse.Namespace) -> list[str]:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "xxhash"))
    return [
        f"- machine: {cpu_name()}, {os.cpu_count()} cores; Python {platform.python_version()}, {libraries}, "
        f"{torch.get_num_threads()} threads of torch",
        f"- {options.repeats} saves and loads of each side in turns, after an uncounted one; median (least to most)",
        "- held: until the call returns; on disk: until all is flushed; a load finds the files in the page cache",
        "- ours hashes every block while it writes, looks for NaN, and verifies every byte before it is used",
        f"- memory: two saves in a process of its own, above that of {NOTHING}",
        f"- measured at commit {commit_of(REPOSITORY)}",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--gigabytes", type=float, nargs="+", default=[0.1, 1.0], help="sizes of the state")
    add("--repeats", type=int, default=7, help="saves and loads of each side")
    add("--disk", type=Path, help="a folder on the disk to save to; default: the temporary one")
    add("--out", type=Path, help="markdown file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
