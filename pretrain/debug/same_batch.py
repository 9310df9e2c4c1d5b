"""Order is a pure function of (seed, step): the same batch twice, and in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from foundation.errors import GroundworkError
from foundation.files import canonical_json
from foundation.hashes import hash_bytes
from foundation.text import one_line
from pretrain.checkpoint.gate import CONFIG
from pretrain.data.loader import ShardLoader, hash_of_samples
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.types import Batch

TIMEOUT_S = 120.0  # of the process, which imports torch
# -P: a folder in the working folder is no package of this name
COMMAND = (sys.executable, "-P", "-m", "pretrain.debug.elsewhere")
SHOWN_LINES, SHOWN_CHARS = 3, 200  # of what a process that failed has printed, from its end


class NoAnswer(GroundworkError):
    """The other process could not read the batch."""


class SameBatch(Rung):
    """The tensors of the first step: read twice, with another step between, and by another process."""

    name = "static batch"
    is_of_all = True

    def check(self, subject: Subject) -> Finding:
        run = subject.run
        step = run.progress.data_step
        shown = f"data step {step} has the batch_hash {batch_hash(run.loader, run.plan, step)}"
        first = hash_of(run.loader.micro_batches(step))
        run.loader.micro_batches(step + 1)
        problems = list[Problem]()
        if hash_of(run.loader.micro_batches(step)) != first:
            problems.append(stop(f"data step {step} read again holds other tensors: the order is no function of it"))
        try:
            elsewhere = hash_elsewhere(dict(run.gate[CONFIG]["data"]), run.plan, run.mesh, step)
        except NoAnswer as error:
            return self.found(f"{shown} here", [*problems, stop(str(error))])
        if elsewhere != first:
            problems.append(
                stop(
                    f"another process reads other tensors for data step {step}: the run could not go on exactly; is "
                    "something drawn from a global generator, or a hash of Python's own used?"
                )
            )
        return self.found(f"{shown}, the same twice here and in another process", problems)


def batch_hash(loader: ShardLoader, plan: Plan, data_step: int) -> str:
    """Return the hash of a global batch, of all ranks, as its line in metrics.jsonl has it."""
    first = data_step * plan.global_batch_size
    samples = np.arange(first, first + plan.global_batch_size, dtype=np.int64)
    return f"{hash_of_samples(samples, loader.samples.read(loader.numbers_of(samples))):016x}"


def hash_of(batches: list[Batch]) -> str:
    """Return the hash of all that micro batches hold."""
    parts = [
        part.cpu().numpy().tobytes() if isinstance(part, torch.Tensor) else part.tobytes()
        for batch in batches
        for part in (batch.inputs_BT, batch.targets_BT, batch.samples, batch.keys_B)
    ]
    return hash_bytes(b"".join(parts))


def hash_elsewhere(data: dict[str, Any], plan: Plan, mesh: Mesh, data_step: int) -> str:
    """Return the hash that a process of its own comes to: it shares nothing with this one, random states least.

    Args:
        data: the config's group. plan, mesh: of the run. data_step: which batch.
    Raises:
        NoAnswer: it gave none; says how it ended and what it printed.
    """
    asked = {"data": data, "plan": asdict(plan), "place": [mesh.rank, mesh.world_size], "data_step": data_step}
    what = f"another process, which was to read data step {data_step} as the run does"
    try:
        ended = subprocess.run(
            COMMAND, input=canonical_json(asked), capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(
            f"{what}, gave no answer in {TIMEOUT_S:.0f} s: is the disk of data.path slow, or the machine short of "
            f"memory? It printed: {printed(error.stderr or b'')}"
        ) from error
    lines = ended.stdout.decode(errors="replace").split()
    if ended.returncode or not lines:
        how = f"was killed by signal {-ended.returncode}" if ended.returncode < 0 else f"ended with {ended.returncode}"
        raise NoAnswer(
            f"{what}, {how} and printed: {printed(ended.stderr)}; see that data= and the files of data.path can be "
            "read by any process of yours, and that a class of your own can be imported by one (PYTHONPATH)"
        )
    return lines[-1]


def printed(output: bytes) -> str:
    """Return the last lines that a process has printed, on one line."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    return " / ".join(one_line(line, SHOWN_CHARS) for line in lines[-SHOWN_LINES:]) or "nothing"
