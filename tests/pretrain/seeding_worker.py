"""`torchrun seeding_worker.py <folder> <overrides...>`: what each rank draws when its run is built, written as JSON."""

from __future__ import annotations

import json
import random
import sys
import threading
from pathlib import Path

import numpy as np
import torch

from pretrain.checkpoint.state import random_states
from pretrain.mesh import start_mesh
from tests.pretrain.train_worker import make_run


def draws() -> dict[str, float]:
    return {"python": random.random(), "numpy": float(np.random.rand()), "torch": torch.rand(()).item()}  # noqa: NPY002


def in_a_thread() -> dict[str, float]:
    found: list[dict[str, float]] = []
    thread = threading.Thread(target=lambda: found.append(draws()))
    thread.start()
    thread.join()
    return found[0]


if __name__ == "__main__":
    folder, overrides = Path(sys.argv[1]), sys.argv[2:]
    with start_mesh("cpu") as mesh:
        run = make_run(mesh, overrides)
        before = random_states(mesh.device)
        for step in range(3):  # the loader's thread reads ahead meanwhile
            run.loader.micro_batches(step)
        run.loader.close()
        untouched = random_states(mesh.device) == before
        found = {"untouched": untouched, "main": draws(), "thread": in_a_thread()}
        (folder / f"{mesh.rank}.json").write_text(json.dumps(found))
