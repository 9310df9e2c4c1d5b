"""What of a TrainState is no tensor: facts as JSON that gives back equal values, and the random states of a rank."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch

from foundation.files import pretty_json
from foundation.hashes import hash_json
from pretrain.checkpoint.errors import DamagedCheckpoint, NotTensorsOnly
from pretrain.checkpoint.integrity import Manifest, read_verified

FACTS = "facts.json"
_FLOAT = "__float__"  # JSON has no word for infinity and NaN; `.inf` is a legal setting


def rank_facts_name(rank: int) -> str:
    """Return the name of a rank's own facts."""
    return f"rank_{rank:05d}.json"


def encode(facts: dict[str, Any], what: str) -> bytes:
    """Return facts as JSON from which `decode` makes equal values.

    Args:
        facts: dicts with string keys, lists, strings, numbers (also infinite), booleans, None.
        what: names them in an error.
    Raises:
        NotTensorsOnly: a value would come back as another one, e.g. a tuple or an object; names its key.
    """
    for key, value in facts.items():
        try:
            same = _same(decode(pretty_json({key: _outward(value)})), {key: value})
        except (TypeError, orjson.JSONDecodeError):
            same = False
        if not same:
            raise NotTensorsOnly(f"{what}.{key}: {value!r:.100} is no JSON value; allowed are dicts, lists and scalars")
    return pretty_json(_outward(facts))


def decode(data: bytes) -> Any:
    """Return what `encode` was given.

    Raises:
        orjson.JSONDecodeError: it is no JSON.
    """
    return _inward(orjson.loads(data))


def _outward(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(value)}
    if isinstance(value, dict):
        return {key: _outward(item) for key, item in value.items()}
    return [_outward(item) for item in value] if type(value) is list else value


def _inward(value: Any) -> Any:
    if isinstance(value, list):
        return [_inward(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_FLOAT}:
        return float(value[_FLOAT])
    return {key: _inward(item) for key, item in value.items()}


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of equal types: True is not 1, and NaN is NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(item, other[key]) for key, item in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other or one != one)


def read_facts(folder: Path, manifest: Manifest, name: str) -> dict[str, Any]:
    """Return the facts in the file `name`, its bytes verified.

    Raises:
        DamagedCheckpoint: they are not those that were saved.
    """
    data = read_verified(folder, manifest, name)
    try:
        facts = decode(data)
    except (orjson.JSONDecodeError, TypeError, ValueError) as error:
        raise DamagedCheckpoint(f"{folder / name}: not facts of a run ({error})") from error
    if not isinstance(facts, dict):
        raise DamagedCheckpoint(f"{folder / name}: not facts of a run (a {type(facts).__name__})")
    return facts


def random_states(device: torch.device) -> dict[str, Any]:
    """Return the states of all global generators of this process as JSON values.

    Args:
        device: whose generator is saved beside the CPU's.
    """
    version, words, gauss = random.getstate()
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002 (the global state is what libraries draw from)
    assert isinstance(numpy, dict)
    states = {
        "python": {"version": version, "words": _digits(np.array(words, dtype="<u4")), "gauss": gauss},
        "numpy": {
            "key": _digits(numpy["state"]["key"].astype("<u4")),
            "pos": int(numpy["state"]["pos"]),
            "has_gauss": int(numpy["has_gauss"]),
            "gauss": float(numpy["gauss"]),
        },
        "torch_cpu": _digits(torch.get_rng_state().numpy()),
    }
    if device.type == "cuda":
        states["torch_cuda"] = _digits(torch.cuda.get_rng_state(device).numpy())
    if device.type == "mps":
        states["torch_mps"] = _digits(torch.mps.get_rng_state().numpy())
    return states


def restore_random_states(states: dict[str, Any], device: torch.device) -> None:
    """Set all global generators of this process to what `random_states` gave; a device that was not saved stays.

    Raises:
        DamagedCheckpoint: they are no such states.
    """
    try:
        python, numpy = states["python"], states["numpy"]
        random.setstate((python["version"], tuple(_words(python["words"]).tolist()), python["gauss"]))
        key = _words(numpy["key"])
        np.random.set_state(("MT19937", key, numpy["pos"], numpy["has_gauss"], numpy["gauss"]))  # noqa: NPY002
        torch.set_rng_state(_state(states["torch_cpu"]))
        if device.type == "cuda" and "torch_cuda" in states:
            torch.cuda.set_rng_state(_state(states["torch_cuda"]), device)
        if device.type == "mps" and "torch_mps" in states:
            torch.mps.set_rng_state(_state(states["torch_mps"]))
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise DamagedCheckpoint(f"random states: not those of a run ({error!r})") from error


def _digits(state: np.ndarray) -> str:
    return state.tobytes().hex()


def _words(digits: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(digits), dtype="<u4").astype(np.uint32)


def _state(digits: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(digits), dtype=torch.uint8)


def derive_random_states(states: dict[str, Any], rank: int, world_size: int) -> None:
    """Seed all global generators for a rank of another world size than the one saved.

    A function of rank 0's saved state, so it is reproducible and repeats nothing that was drawn before.

    Args:
        states: rank 0's saved states.
    """
    seed_generators(int(hash_json([states, rank, world_size]), 16))


def seed_generators(seed: int) -> None:
    """Seed all global generators of this process: what is not seeded begins anew with every start.

    Args:
        seed: as long as it likes; each generator takes what it can.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed % 2**63)  # also seeds the CPU's and every device's generator
