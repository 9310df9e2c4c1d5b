"""Facts and random states: what is saved is what comes back."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.checkpoint.errors import DamagedCheckpoint, NotTensorsOnly
from pretrain.checkpoint.integrity import read_manifest
from pretrain.checkpoint.state import (
    decode,
    derive_random_states,
    encode,
    random_states,
    read_facts,
    restore_random_states,
)

CPU = torch.device("cpu")
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), text)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4))


@settings(max_examples=150, deadline=None)
@given(facts=st.dictionaries(text, values, max_size=5))
def test_facts_come_back_bit_for_bit(facts: dict[str, Any]) -> None:
    data = encode(facts, "facts")
    orjson.loads(data)  # valid JSON for everybody
    assert spelled(decode(data)) == spelled(facts)


def spelled(value: Any) -> Any:
    """Equal for equal types and bits, NaN among them, whatever the order of keys."""
    if isinstance(value, dict):
        return {key: spelled(item) for key, item in value.items()}
    return [spelled(item) for item in value] if isinstance(value, list) else (type(value).__name__, repr(value))


@pytest.mark.parametrize("value", [(1, 2), {1: "a"}, {"a": object()}, [np.float64(1)], 2**70, Path("x"), {"a"}, b"x"])
def test_what_json_would_change_is_refused_by_name(value: object) -> None:
    with pytest.raises(NotTensorsOnly, match=r"facts\.odd: .* no JSON value"):
        encode({"fine": 1, "odd": value}, "facts")


@pytest.mark.parametrize(
    "data", [b"[1]", b"null", b"{", b"\x80\x04", b'{"a": {"__float__": "x"}}', b'{"a":{"__float__":[]}}']
)
def test_facts_that_are_none_are_damage(saved: Path, forge: Callable[..., None], data: bytes) -> None:
    forge(saved, "facts.json", data)
    with pytest.raises(DamagedCheckpoint, match=r"facts\.json: not facts of a run"):
        read_facts(saved, read_manifest(saved), "facts.json")


def draw() -> list[float]:
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(()).item()]  # noqa: NPY002


@pytest.mark.parametrize("drawn", [0, 1, 2, 700])
def test_random_states_go_on_where_they_were(drawn: int) -> None:
    for _ in range(drawn):
        draw()
    states = decode(encode({"random": random_states(CPU)}, "rank_facts"))["random"]
    expected = [draw() for _ in range(5)]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    restore_random_states(states, CPU)
    assert [draw() for _ in range(5)] == expected


def test_derived_states_are_reproducible_and_differ_by_rank_and_state() -> None:
    states = random_states(CPU)
    draws = {}
    for rank, world_size in [(0, 2), (1, 2), (0, 3)]:
        derive_random_states(states, rank, world_size)
        draws[rank, world_size] = draw()
    derive_random_states(states, 1, 2)
    assert draw() == draws[1, 2]
    derive_random_states(random_states(CPU), 1, 2)
    assert len({tuple(values) for values in [*draws.values(), draw()]}) == 4
    restore_random_states(states, CPU)


@pytest.mark.parametrize("change", [{"python": {}}, {"numpy": None}, {"torch_cpu": "zz"}, {"torch_cpu": "00"}])
def test_foreign_states_are_damage(change: dict[str, Any]) -> None:
    states = random_states(CPU)
    with pytest.raises(DamagedCheckpoint, match="random states"):
        restore_random_states({**states, **change}, CPU)
    restore_random_states(states, CPU)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_random_states_of_a_gpu_go_on_where_they_were() -> None:
    cuda = torch.device("cuda", 0)
    states = decode(encode(random_states(cuda), "rank_facts"))
    expected = torch.rand(5, device=cuda).tolist()
    restore_random_states(states, cuda)
    assert torch.rand(5, device=cuda).tolist() == expected and not math.isnan(expected[0])
