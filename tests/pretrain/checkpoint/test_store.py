"""Tensors through torch.distributed.checkpoint and our files: bit for bit, and nothing else ever."""

from __future__ import annotations

import ast
import contextlib
import io
import math
import os
import pickle  # to build what must never be loaded
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
import xxhash
from hydra.utils import instantiate
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.metadata import BytesStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

import pretrain
from foundation.hashes import BLOCK_BYTES
from foundation.progress import human
from pretrain.checkpoint.errors import CheckpointError, NotTensorsOnly
from pretrain.checkpoint.integrity import verify
from pretrain.checkpoint.labels import LABEL, Label, read_label
from pretrain.checkpoint.reading import load_tensors, newest_checkpoint, open_checkpoint
from pretrain.checkpoint.store import UNSHARED_ELEMENTS, Reader, Writer, all_finite
from pretrain.types import TrainState

FILES = ["facts.json", "manifest.json", "metadata.json", "rank_00000.bin", "rank_00000.json", "rank_00000.sum"]
Same = Callable[[dict[str, torch.Tensor], dict[str, torch.Tensor]], bool]


def test_tensors_come_back_bit_for_bit_into_the_same_memory(
    saved: Path, make_state: Callable[..., TrainState], same_tensors: Same
) -> None:
    live = make_state(99).tensors
    places = {name: tensor.data_ptr() for name, tensor in live.items()}
    load_tensors(open_checkpoint(saved), live)
    assert same_tensors(live, make_state(10).tensors)
    assert places == {name: tensor.data_ptr() for name, tensor in live.items()}


@pytest.mark.parametrize(("rank", "every_s"), [(0, 0.0), (0, 5.0), (1, 0.0)])
def test_a_save_that_takes_long_is_heard_of_on_one_rank(
    tmp_path: Path,
    make_state: Callable[..., TrainState],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    rank: int,
    every_s: float,
) -> None:
    monkeypatch.setattr("foundation.progress.LINE_EVERY_S", every_s)
    tensors = make_state(10).tensors
    planner = DefaultSavePlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    save(dict(tensors), storage_writer=Writer(tmp_path, rank, b"{}"), planner=planner)
    said = capsys.readouterr().err.splitlines()
    if rank or every_s:
        assert said == []
        return
    total = human(sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()), "B")
    assert len(said) >= 4  # the weight and its moment are two blocks each
    assert all(line.startswith("checkpoint, rank 0: ") and f" of {total} (" in line for line in said)
    assert said[-1].startswith(f"checkpoint, rank 0: {total} of {total} (100%)")


FLOATS = ["float64", "float32", "float16", "bfloat16"]
INTEGERS = ["int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.mark.parametrize("name", FLOATS + INTEGERS)
def test_every_dtype_comes_back(checkpointer: object, run_dir: Path, same_tensors: Same, name: str) -> None:
    values = (torch.randn(77, generator=torch.Generator().manual_seed(0)) * 50).to(getattr(torch, name))
    checkpointer.save(10, TrainState({"x": values}))
    live = {"x": torch.zeros_like(values)}
    load_tensors(newest_checkpoint(run_dir), live)
    assert same_tensors(live, {"x": values})


def test_huge_numbers_are_finite(checkpointer: object, run_dir: Path) -> None:
    checkpointer.save(10, TrainState({"x": torch.full((5,), 3e38), "y": torch.tensor([3e38, -3e38, 1e-45])}))
    assert newest_checkpoint(run_dir).manifest.healthy  # their sum is not


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("size", [0, 1, 7, UNSHARED_ELEMENTS, 3 * UNSHARED_ELEMENTS + 5])
def test_what_is_finite_is_what_the_plain_form_says(name: str, size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    dtype = getattr(torch, name)
    values = (torch.randn(size, generator=generator, dtype=torch.float64) * 100).to(dtype)
    largest = torch.finfo(dtype).max
    for value in (0.0, largest, -largest, math.nan, math.inf, -math.inf):
        for place in {0, size // 2, size - 1} if size else set():
            changed = values.clone()
            changed[place] = value
            assert all_finite(changed) == bool(torch.isfinite(changed).all()) == math.isfinite(value)
    assert all_finite(values)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn])
def test_a_dtype_without_a_name_is_refused(checkpointer: object, run_dir: Path, dtype: torch.dtype) -> None:
    with pytest.raises(NotTensorsOnly, match=r"x: dtype .* can't be saved; allowed are float64, float32"):
        checkpointer.save(10, TrainState({"x": torch.zeros(3).to(dtype)}))
    assert not run_dir.exists()


def test_parameters_that_require_grad_are_filled(checkpointer: object, run_dir: Path) -> None:
    torch.manual_seed(0)
    layer, other = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
    checkpointer.save(10, TrainState(dict(layer.named_parameters())))
    load_tensors(newest_checkpoint(run_dir), dict(other.named_parameters()))
    assert torch.equal(layer.weight, other.weight) and other.weight.requires_grad and other.weight.is_leaf


def test_a_part_may_be_loaded_alone_and_must_be_whole(saved: Path, make_state: Callable[..., TrainState]) -> None:
    live = {name: tensor for name, tensor in make_state(99).tensors.items() if name.startswith("model.")}
    load_tensors(open_checkpoint(saved), live, prefix="model.")
    assert torch.equal(live["model.weight"], make_state(10).tensors["model.weight"])
    del live["model.half"]
    with pytest.raises(CheckpointError, match=r"model\.half: only in the checkpoint"):
        load_tensors(open_checkpoint(saved), live, prefix="model.")


def test_what_is_no_tensor_is_not_saved(tmp_path: Path) -> None:
    planner = DefaultSavePlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    with pytest.raises(CheckpointException) as caught, pytest.warns(UserWarning, match="single process"):
        save({"x": torch.zeros(1), "lr": 0.1}, storage_writer=Writer(tmp_path, 0, b"{}"), planner=planner)
    (failure, _) = caught.value.failures[0]
    assert isinstance(failure, NotTensorsOnly) and "lr: not a tensor" in str(failure)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_tensor_is_not_loaded(saved: Path) -> None:
    opened = open_checkpoint(saved)
    opened.metadata.state_dict_metadata["lr"] = BytesStorageMetadata()
    reader = Reader(saved, opened.manifest, opened.metadata)
    planner = DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    with pytest.raises(CheckpointException) as caught, pytest.warns(UserWarning, match="single process"):
        load({"lr": 0.1}, storage_reader=reader, planner=planner)
    (failure, _) = caught.value.failures[0]
    assert isinstance(failure, NotTensorsOnly) and "lr: not a tensor" in str(failure)


class Payload:
    """Unpickled anywhere, it leaves a file behind."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.canary),)


def payload_of(kind: str, canary: Path) -> bytes:
    """What makes the folder `canary` when it is unpickled, torch.load-ed or built as a target."""
    if kind == "json":
        call = {"_target_": "os.mkdir", "path": str(canary), "_args_": [str(canary)]}
        return orjson.dumps(call | {"__reduce__": ["os.mkdir", [str(canary)]], "py/reduce": [call], "tensors": call})
    if kind == "pickle":
        return pickle.dumps(Payload(canary))
    buffer = io.BytesIO()
    torch.save(Payload(canary), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["pickle", "torch", "json"])
def test_the_payloads_work(tmp_path: Path, kind: str) -> None:
    canary = tmp_path / "canary"
    payload = payload_of(kind, canary)
    if kind == "json":
        instantiate({key: value for key, value in orjson.loads(payload).items() if key in ("_target_", "path")})
    else:
        torch.load(io.BytesIO(payload), weights_only=False) if kind == "torch" else pickle.loads(payload)
    assert canary.is_dir()


# what is JSON, and by its hash was saved so, is data: it is read, and stays what it is
READ_AS_DATA = {("facts.json", "json"), ("rank_00000.json", "json")}


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(".bin")])
@pytest.mark.parametrize("kind", ["pickle", "torch", "json"])
def test_nothing_in_a_checkpoint_is_executed(
    saved: Path,
    checkpointer: Any,
    tmp_path: Path,
    make_state: Callable[..., TrainState],
    forge: Callable[..., None],
    name: str,
    kind: str,
) -> None:
    canary = tmp_path / "canary"
    if name == "manifest.json":
        (saved / name).write_bytes(payload_of(kind, canary))
    else:
        forge(saved, name, payload_of(kind, canary))
    with (
        contextlib.nullcontext()
        if (name, kind) in READ_AS_DATA
        else pytest.raises(CheckpointError, match=Path(name).stem)
    ):
        opened = open_checkpoint(saved)
        opened.rank_facts(0)
        load_tensors(opened, make_state(99).tensors)
    with pytest.raises(CheckpointError):  # facts without the gate's are another run's, random states are none
        checkpointer.load(make_state(99), str(saved))
    with pytest.raises(CheckpointError, match=r"no checkpoint can be used|can't all go on"):
        checkpointer.load(make_state(99))
    verify(saved)
    assert not canary.exists()


@pytest.mark.parametrize("kind", ["pickle", "torch", "json"])
def test_tensors_that_are_a_payload_are_numbers(
    saved: Path,
    checkpointer: Any,
    tmp_path: Path,
    make_state: Callable[..., TrainState],
    forge: Callable[..., None],
    kind: str,
) -> None:
    canary, path = tmp_path / "canary", saved / "rank_00000.bin"
    data = payload_of(kind, canary)
    data += bytes(path.stat().st_size - len(data))
    blocks = [data[start : start + BLOCK_BYTES] for start in range(0, len(data), BLOCK_BYTES)]
    path.write_bytes(data)
    forge(saved, "rank_00000.sum", b"".join(xxhash.xxh3_128_digest(block) for block in blocks))
    live = make_state(99)
    assert verify(saved) == [] and checkpointer.load(live)
    raw = np.concatenate([tensor.contiguous().view(-1).view(torch.uint8).numpy() for tensor in live.tensors.values()])
    assert payload_of(kind, canary)[:64] in raw.tobytes()  # it is what was loaded
    assert not canary.exists()


@pytest.mark.parametrize("kind", ["pickle", "torch", "json"])
def test_a_label_that_is_a_payload_is_no_label(
    saved: Path, checkpointer: Any, tmp_path: Path, make_state: Callable[..., TrainState], kind: str
) -> None:
    (saved / LABEL).write_bytes(payload_of(kind, tmp_path / "canary"))
    live = make_state(99)
    assert checkpointer.load(live) and live.facts["step"] == 10
    assert read_label(saved).label is Label.PENDING and not (tmp_path / "canary").exists()


@pytest.mark.parametrize("entry", [{}, {"dtype": "bytes"}, {"dtype": "object", "shape": [], "chunks": []}])
def test_a_bytes_item_in_the_description_is_refused(
    saved: Path, tmp_path: Path, forge: Callable[..., None], entry: dict[str, Any]
) -> None:
    description = orjson.loads((saved / "metadata.json").read_bytes())
    description["tensors"]["lr"] = entry
    forge(saved, "metadata.json", orjson.dumps(description))
    with pytest.raises(CheckpointError, match=r"metadata\.json: not a description of tensors"):
        open_checkpoint(saved)


def test_a_bytes_item_with_a_payload_is_neither_saved_nor_loaded(
    saved: Path, checkpointer: Any, tmp_path: Path, make_state: Callable[..., TrainState]
) -> None:
    canary = tmp_path / "canary"
    for state in (make_state(20), make_state(30)):
        state.tensors["lr"] = Payload(canary)  # type: ignore[assignment]
        with pytest.raises(NotTensorsOnly, match="lr: not a tensor"):
            checkpointer.save(20, state)
    opened = open_checkpoint(saved)
    opened.metadata.state_dict_metadata["lr"] = BytesStorageMetadata()
    with pytest.raises(CheckpointException) as caught, pytest.warns(UserWarning, match="single process"):
        load(
            {"lr": Payload(canary)},
            storage_reader=Reader(saved, opened.manifest, opened.metadata),
            planner=DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False),
        )
    assert isinstance(caught.value.failures[0][0], NotTensorsOnly) and not canary.exists()


def test_a_target_in_the_facts_stays_data(saved: Path, tmp_path: Path, forge: Callable[..., None]) -> None:
    canary = tmp_path / "canary"
    forge(saved, "facts.json", b'{"_target_": "os.mkdir", "path": "%s"}' % str(canary).encode())
    assert open_checkpoint(saved).facts["_target_"] == "os.mkdir" and not canary.exists()


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"torch.load", "torch.save", "np.load", "numpy.load", "eval", "exec", "yaml.load", "yaml.unsafe_load"}
FORBIDDEN_SETTINGS = {"allow_pickle": True, "weights_only": False, "trust_remote_code": True, "shell": True}
# what its processes send each other: no file and no checkpoint
AMONG_PROCESSES = "data_pipeline/executors"
OBJECT_COLLECTIVES = {"broadcast_object_list", "all_gather_object", "gather_object", "scatter_object_list"}


def offences(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            found.append(str(node.module))
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            settings = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            is_plain = settings.get("allow_pickle") is False  # np.load of numbers alone
            if (name in FORBIDDEN_CALLS and not is_plain) or name.split(".")[-1] in OBJECT_COLLECTIVES | {"extractall"}:
                found.append(name)
            found += [f"{name}({key}=...)" for key, value in FORBIDDEN_SETTINGS.items() if settings.get(key) is value]
    return found


@pytest.mark.parametrize("package", ["pretrain", "data_pipeline", "foundation", "launch"])
def test_no_file_unpickles(package: str) -> None:
    paths = sorted((Path(pretrain.__file__).parents[1] / package).rglob("*.py"))
    assert len(paths) > 5
    read = [path for path in paths if AMONG_PROCESSES not in path.as_posix()]
    found = {str(path): offences(path.read_text()) for path in read}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, dill.x",
        "from pickle import loads",
        "torch.load(f)",
        "x = dist.gather_object(a)",
        "eval('1')",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "load(path, weights_only=False)",
        "archive.extractall(folder)",
    ],
)
def test_the_scan_finds_what_it_looks_for(source: str) -> None:
    assert offences(source)
