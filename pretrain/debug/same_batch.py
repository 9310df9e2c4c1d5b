"""Order is a pure function of (seed, step): the same batch twice, and in a process of its own."""

from __future__ import annotations

import multiprocessing
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

import torch

from foundation.hashes import hash_bytes
from pretrain.checkpoint.gate import CONFIG
from pretrain.data.loader import Shards
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.types import Batch

TIMEOUT_S = 120.0  # of the process, which imports torch


class SameBatch(Rung):
    """The tensors of the first step: read twice, with another step between, and by another process."""

    name = "static batch"
    is_of_all = True

    def check(self, subject: Subject) -> Finding:
        run = subject.run
        step = run.progress.data_step
        first = hash_of(run.loader.micro_batches(step))
        run.loader.micro_batches(step + 1)
        problems = list[Problem]()
        if hash_of(run.loader.micro_batches(step)) != first:
            problems.append(stop(f"data step {step} read again holds other tensors: the order is no function of it"))
        elsewhere = hash_elsewhere(dict(run.gate[CONFIG]["data"]), run.plan, run.mesh, step)
        if elsewhere != first:
            problems.append(
                stop(
                    f"another process reads other tensors for data step {step}: the run could not go on exactly; is "
                    "something drawn from a global generator, or a hash of Python's own used?"
                )
            )
        return self.found(f"data step {step} is {first[:12]}, twice here and in another process", problems)


def hash_of(batches: list[Batch]) -> str:
    """Return the hash of all that micro batches hold."""
    parts = [
        part.cpu().numpy().tobytes() if isinstance(part, torch.Tensor) else part.tobytes()
        for batch in batches
        for part in (batch.inputs_BT, batch.targets_BT, batch.samples, batch.keys_B)
    ]
    return hash_bytes(b"".join(parts))


def hash_elsewhere(data: dict[str, Any], plan: Plan, mesh: Mesh, data_step: int) -> str:
    """Return the hash that a process of its own comes to; what ended it without one, if that is so.

    Args:
        data: the config's group. plan, mesh: of the run. data_step: which batch.
    """
    context = multiprocessing.get_context("spawn")  # shares nothing with this one, random states and caches least
    receiver, sender = context.Pipe(duplex=False)
    arguments = (sender, data, asdict(plan), (mesh.rank, mesh.world_size), data_step)
    process = context.Process(target=_hash_here, args=arguments, daemon=True)
    process.start()
    sender.close()
    try:
        return str(receiver.recv()) if receiver.poll(TIMEOUT_S) else "no answer"
    except EOFError:
        return "it failed"
    finally:
        process.kill()
        process.join()


def _hash_here(
    sender: Connection, data: dict[str, Any], plan: dict[str, Any], place: tuple[int, int], data_step: int
) -> None:
    rank, world_size = place
    values = {key: value for key, value in data.items() if key != "_target_"}
    loader = Shards(**values).loader(Plan(**plan), Mesh(rank, world_size, 0, torch.device("cpu")))
    sender.send(hash_of(loader.micro_batches(data_step)))
    loader.close()
