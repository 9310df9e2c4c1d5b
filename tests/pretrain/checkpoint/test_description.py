"""metadata.json: what does not describe the files is refused, even when its hash fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch

from foundation.files import pretty_json
from pretrain.checkpoint.description import read_description, require_same_tensors
from pretrain.checkpoint.errors import CheckpointMismatch, DamagedCheckpoint
from pretrain.checkpoint.integrity import read_manifest
from pretrain.types import TrainState

Change = Callable[[dict[str, Any]], Any]


def chunk(value: dict[str, Any]) -> dict[str, Any]:
    return value["tensors"]["model.weight"]["chunks"][0]


WRONG: dict[str, Change] = {
    "another file": lambda value: chunk(value).update(file="../../../etc/passwd"),
    "a json file": lambda value: chunk(value).update(file="rank_00001.bin"),
    "before the file": lambda value: chunk(value).update(start=-64),
    "behind the file": lambda value: chunk(value).update(start=10**12),
    "not a number": lambda value: chunk(value).update(start="0"),
    "a huge chunk": lambda value: chunk(value).update(sizes=[2**40, 2**40]),
    "outside the tensor": lambda value: chunk(value).update(offsets=[1, 0]),
    "a negative size": lambda value: chunk(value).update(sizes=[-150, -200]),
    "too few dims": lambda value: chunk(value).update(sizes=[150]),
    "half of the tensor": lambda value: chunk(value).update(sizes=[75, 200]),
    "no chunks": lambda value: value["tensors"]["model.weight"].update(chunks=[]),
    "an unknown dtype": lambda value: value["tensors"]["model.weight"].update(dtype="object"),
    "a method for a dtype": lambda value: value["tensors"]["model.weight"].update(dtype="load"),
    "a bytes item": lambda value: value["tensors"].update({"model.weight": {"bytes": True}}),
    "another byte order": lambda value: value.update(byteorder="big"),
    "no tensors": lambda value: value.pop("tensors"),
    "a list of tensors": lambda value: value.update(tensors=[1]),
}


@pytest.mark.parametrize("wrong", sorted(WRONG))
def test_a_wrong_description_is_refused(saved: Path, forge: Callable[..., None], wrong: str) -> None:
    value = orjson.loads((saved / "metadata.json").read_bytes())
    WRONG[wrong](value)
    forge(saved, "metadata.json", pretty_json(value))
    with pytest.raises(DamagedCheckpoint, match=r"metadata\.json: not a description of tensors"):
        read_description(saved, read_manifest(saved))


@pytest.mark.parametrize("data", [b"[]", b"\x80\x04N.", b"1", b"{}", b""])
def test_no_description_at_all_is_refused(saved: Path, forge: Callable[..., None], data: bytes) -> None:
    forge(saved, "metadata.json", data)
    with pytest.raises(DamagedCheckpoint, match=r"metadata\.json"):
        read_description(saved, read_manifest(saved))


def test_every_difference_to_the_live_tensors_is_named(saved: Path, make_state: Callable[..., TrainState]) -> None:
    metadata = read_description(saved, read_manifest(saved))
    tensors = make_state(10).tensors
    require_same_tensors(saved, metadata, tensors)
    del tensors["model.empty"]
    tensors["model.new"] = torch.zeros(1)
    tensors["model.half"] = tensors["model.half"].float()
    tensors["model.weight"] = tensors["model.weight"].T
    with pytest.raises(CheckpointMismatch) as caught:
        require_same_tensors(saved, metadata, tensors)
    for line in (
        "model.new: not in the checkpoint",
        "model.empty: only in the checkpoint",
        "model.half: torch.bfloat16 in the checkpoint, torch.float32 in this run",
        "model.weight: shape [150, 200] in the checkpoint, [200, 150] in this run",
    ):
        assert line in str(caught.value)
    assert "exp_avg" not in str(caught.value)


def test_a_long_list_of_differences_is_cut(saved: Path) -> None:
    metadata = read_description(saved, read_manifest(saved))
    with pytest.raises(CheckpointMismatch, match="and 100 more"):
        require_same_tensors(saved, metadata, {f"t{number}": torch.zeros(1) for number in range(100)})
