"""What a run made, in few words: a checkpoint's state, the lines of its metrics. Equal hashes are equal bits."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foundation.hashes import hash_bytes, hash_json
from pretrain.checkpoint.integrity import folder_name
from pretrain.checkpoint.reading import load_tensors, open_checkpoint, verify_share
from pretrain.metrics.lines import MACHINE_FIELDS, read_metrics
from pretrain.run_files import CHECKPOINTS, METRICS

# of the config that a checkpoint keeps: where a run lies and how its start was asked for; nothing computed hangs on it
ASKED = (
    ("run_name",),
    ("runs_dir",),
    ("resume",),
    ("launcher",),
    ("checkpoint",),
    ("data", "path"),
    ("data", "prefetch_steps"),
    ("eval", "every_steps"),
    ("trainer", "hang_timeout_s"),
)


def state_of(folder: Path) -> str:
    """Return the hash of a checkpoint: weights, moments, the guard's tensors, facts, each rank's random states.

    Raises:
        CheckpointError: it isn't what was saved.
    """
    opened = open_checkpoint(folder)
    verify_share(opened, rank=0, world_size=1)
    entries: dict[str, Any] = opened.metadata.state_dict_metadata
    tensors = {name: torch.empty(entry.size, dtype=entry.properties.dtype) for name, entry in entries.items()}
    load_tensors(opened, tensors)
    ranks = [opened.rank_facts(rank)["random"] for rank in range(opened.manifest.world_size)]
    hashes = {name: hash_bytes(bytes_of(tensor)) for name, tensor in tensors.items()}
    return hash_json([hashes, computed(_without_clocks(opened.facts)), ranks])


def computed(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts without where and how the run was asked for, and without the clone's commit, which may move."""
    kept: dict[str, Any] = copy.deepcopy(facts)
    for *groups, name in (("gate", "config", *keys) for keys in ASKED):
        inner = kept
        for group in groups:
            inner = inner[group]
        inner.pop(name, None)
    kept["environment"].pop("code")
    return kept


def bytes_of(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def lines_of(run_dir: Path) -> list[dict[str, Any]]:
    """Return a run's lines of metrics without what a clock says."""
    return [_without_clocks(line) for line in read_metrics(run_dir / METRICS)]


def checkpoint_of(run_dir: Path, step: int) -> Path:
    return run_dir / CHECKPOINTS / folder_name(step)


def _without_clocks(facts: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in facts.items() if key not in MACHINE_FIELDS}
    return kept | ({"line": _without_clocks(kept["line"])} if isinstance(kept.get("line"), dict) else {})
