"""Reads from stdin, as JSON, which batch to read; prints its hash as the last line of stdout."""

from __future__ import annotations

import importlib
import sys

import orjson
import torch

from foundation.errors import GroundworkError
from pretrain.debug.same_batch import hash_of
from pretrain.mesh import Mesh
from pretrain.plan import Plan


def main() -> None:
    """Build the data's class, which the run has checked, as it is set, and read."""
    asked = orjson.loads(sys.stdin.buffer.read())
    module, _, name = asked["data"].pop("_target_").rpartition(".")
    shards = getattr(importlib.import_module(module), name)(**asked["data"])
    rank, world_size = asked["place"]
    loader = shards.loader(Plan(**asked["plan"]), Mesh(rank, world_size, 0, torch.device("cpu")))
    print(hash_of(loader.micro_batches(asked["data_step"])), flush=True)
    loader.close()


if __name__ == "__main__":
    try:
        main()
    except GroundworkError as error:
        sys.exit(f"error: {error}")
