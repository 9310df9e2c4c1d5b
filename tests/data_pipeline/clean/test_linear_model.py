from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, load_file, save

from data_pipeline.clean.linear_model import MAX_BYTES, LinearModel, ModelError, read_model
from data_pipeline.clean.ngrams import Ngrams
from foundation.files import canonical_json
from foundation.hashes import hash_bytes


def model() -> LinearModel:
    weights = np.random.default_rng(0).normal(size=1 << 10).astype(np.float32)
    return LinearModel(Ngrams(3, (2, 4), 1 << 10), weights, -0.25, {"held_out": {"good": 7}})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(model().to_bytes())
    return path


def test_a_model_comes_back_as_it_was_written(path: Path) -> None:
    found = read_model(path)
    assert (found.ngrams, found.bias, found.facts) == (Ngrams(3, (2, 4), 1 << 10), -0.25, {"held_out": {"good": 7}})
    np.testing.assert_array_equal(found.weights, model().weights)
    np.testing.assert_array_equal(load_file(path)["weights"], model().weights)  # any reader of safetensors
    assert found.to_bytes() == path.read_bytes()
    assert found.content_hash() == model().content_hash() != replace(model(), bias=0.0).content_hash()


def test_every_flipped_byte_is_noticed_or_means_nothing(path: Path) -> None:
    intact, header = path.read_bytes(), int.from_bytes(path.read_bytes()[:8], "little") + 8
    places = [*range(0, header, 3), *range(header, len(intact), 97), len(intact) - 1]
    for place in places:
        data = bytearray(intact)
        data[place] ^= 0x10
        path.write_bytes(data)
        with pytest.raises(ModelError, match=r"model\.safetensors: "):
            read_model(path)


@pytest.mark.parametrize("size", [0, 4, 100, 1000, -1])
def test_a_file_that_was_cut_is_refused(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ModelError, match="damaged"):
        read_model(path)


def rewritten(path: Path, hash_of: Callable[[bytes], str] | None = None, **changes: Any) -> None:
    """Change what the header says, and the hash that it states."""
    data = path.read_bytes()
    outer = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    header = json.loads(outer["__metadata__"]["groundwork"]) | changes
    if hash_of:
        del header["hash"]
        header["hash"] = hash_of(canonical_json(header) + load(data)["weights"].tobytes())
    path.write_bytes(save(load(data), {"groundwork": json.dumps(header)}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"version": 2, "hash_of": hash_bytes},
            r"is of version 2, this program reads 1; train it anew: python -m data_pipeline\.classifier",
        ),
        ({"version": None, "hash_of": hash_bytes}, "is of version None"),
        ({"version": 2}, "is damaged"),
        ({"facts": [1], "hash_of": hash_bytes}, "is damaged"),
        ({"format": "other"}, "is no model of this program"),
        ({"bias": 0.5}, "is damaged"),
        ({"num_buckets": 1 << 11}, "is damaged"),
        ({"word_ngrams": "two"}, "is damaged"),
    ],
)
def test_another_header_is_refused(path: Path, changes: dict[str, Any], words: str) -> None:
    rewritten(path, **changes)
    with pytest.raises(ModelError, match=rf"model\.safetensors: {words}"):
        read_model(path)


@pytest.mark.parametrize("key", ["version", "word_ngrams", "char_ngrams", "num_buckets", "bias", "facts", "hash"])
def test_a_key_that_is_amiss_is_damage(path: Path, key: str) -> None:
    data, name = path.read_bytes(), key.encode()
    path.write_bytes(data.replace(name, bytes([name[0] ^ 1]) + name[1:], 1))
    with pytest.raises(ModelError, match=r"model\.safetensors: is damaged \("):
        read_model(path)


@pytest.mark.parametrize("bit", [1, 2])
def test_a_flipped_bit_in_the_version_is_damage(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    place = data.index(b'version\\":') + len('version\\":')
    assert data[place] == ord("1")
    data[place] ^= bit
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors: is damaged"):
        read_model(path)


def test_no_pickle_is_read(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self) -> Any:
            return canary.write_text, ("x",)

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ModelError):
        read_model(path)
    assert not canary.exists()


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none: can't be read \(No such file"):
        read_model(tmp_path / "none")
    with pytest.raises(ModelError, match=r"can't be read \(Is a directory"):
        read_model(tmp_path)
    other = tmp_path / "other.safetensors"
    other.write_bytes(save({"weights": np.zeros(4, np.float32)}))
    with pytest.raises(ModelError, match="is no model of this program"):
        read_model(other)
    with other.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ModelError, match="more than a model has"):
        read_model(other)
