"""Peak memory of the model step on a CPU: a process for each side, its resident pages at their highest."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pipeline_peers import peak_mb

TORCH, OURS, THEIRS = SIDES = ("import torch", "groundwork", "nanoGPT")


def measure_memory(work: Any, peer_dir: Path, steps: int) -> list[float]:
    """Return MB of each of SIDES.

    Args:
        work: train.py's Work. steps: how many each side takes, from its own weights.
    """
    context, peaks = multiprocessing.get_context("spawn"), []
    for side in SIDES:
        ours, theirs = context.Pipe()
        process = context.Process(target=_report_peak, args=(side, work, peer_dir, steps, theirs))
        process.start()
        theirs.close()  # so that the pipe ends when the process does
        peaks.append(ours.recv())
        process.join()
    return peaks


def _report_peak(side: str, work: Any, peer_dir: Path, steps: int, pipe: Connection) -> None:
    from train import NanoGpt, Ours, timed

    if side != TORCH:
        timed(Ours(work) if side == OURS else NanoGpt(work, peer_dir), work, steps, seed=0)
    pipe.send(peak_mb())
