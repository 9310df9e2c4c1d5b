"""What a process learns from torchrun. Imports no torch: help and early errors are not to wait for it."""

from __future__ import annotations

import os
from datetime import timedelta

from foundation.hashes import hash_bytes

STORE_TIMEOUT = timedelta(seconds=5)  # of an answer from torchrun's own process


def launched_by_torchrun() -> bool:
    """Return whether this process is a worker: such a one never launches or sweeps."""
    return "RANK" in os.environ


def speaks(message: str) -> bool:
    """Return whether this process is the first of its ranks with `message`: an error that all hit is printed once.

    Asked of the store in torchrun's own process, which is there before the ranks have met and after they parted. A rank
    that can't reach it speaks for itself.
    """
    env = os.environ
    if env.get("WORLD_SIZE", "1") == "1" or env.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return True
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    said = f"groundwork/said/{env.get('TORCHELASTIC_RESTART_COUNT', '0')}/{hash_bytes(message.encode())}"
    try:
        store = TCPStore(env["MASTER_ADDR"], int(env["MASTER_PORT"]), is_master=False, timeout=STORE_TIMEOUT)
        turn = store.add(f"{said}/{env.get('RANK')}", 1)  # a node may be started again and keep its count of restarts
        return store.add(f"{said}/turn/{turn}", 1) == 1
    except RuntimeError:  # DistError is one
        return True
