"""Tensors through torch.distributed.checkpoint and our files: bit for bit, and nothing else ever."""

from __future__ import annotations

import ast
import io
import os
import pickle  # to build what must never be loaded
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.metadata import BytesStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

import pretrain
from foundation.progress import human
from pretrain.checkpoint.errors import CheckpointError, NotTensorsOnly
from pretrain.checkpoint.integrity import verify
from pretrain.checkpoint.reading import load_tensors, newest_checkpoint, open_checkpoint
from pretrain.checkpoint.store import Reader, Writer
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


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn])
def test_a_dtype_without_a_name_is_refused(checkpointer: object, run_dir: Path, dtype: torch.dtype) -> None:
    with pytest.raises(NotTensorsOnly, match=r"x: dtype .* can't be saved; allowed are float64, float32"):
        checkpointer.save(10, TrainState({"x": torch.zeros(3).to(dtype)}))
    assert list((run_dir / "checkpoints").iterdir()) == []


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


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_nothing_in_a_checkpoint_is_executed(
    saved: Path, tmp_path: Path, make_state: Callable[..., TrainState], forge: Callable[..., None], name: str, kind: str
) -> None:
    canary = tmp_path / "canary"
    payload = pickle.dumps(Payload(canary))
    if kind == "torch":
        buffer = io.BytesIO()
        torch.save(Payload(canary), buffer)
        payload = buffer.getvalue()
    pickle.loads(pickle.dumps(Payload(canary)))
    assert canary.exists()  # the payload works
    canary.rmdir()
    if name == "manifest.json":
        (saved / name).write_bytes(payload)
    else:
        forge(saved, name, payload)
    with pytest.raises(CheckpointError):
        opened = open_checkpoint(saved)
        opened.rank_facts(0)
        load_tensors(opened, make_state(99).tensors)
    verify(saved)
    assert not canary.exists()


def test_a_target_in_the_facts_stays_data(saved: Path, tmp_path: Path, forge: Callable[..., None]) -> None:
    canary = tmp_path / "canary"
    forge(saved, "facts.json", b'{"_target_": "os.mkdir", "path": "%s"}' % str(canary).encode())
    assert open_checkpoint(saved).facts["_target_"] == "os.mkdir" and not canary.exists()


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"torch.load", "torch.save", "np.load", "numpy.load", "eval", "exec", "yaml.load", "yaml.unsafe_load"}
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
            if name in FORBIDDEN_CALLS or name.split(".")[-1] in OBJECT_COLLECTIVES:
                found.append(name)
    return found


def test_no_file_of_pretrain_unpickles() -> None:
    paths = sorted(Path(pretrain.__file__).parent.rglob("*.py"))
    assert len(paths) > 20
    found = {str(path): offences(path.read_text()) for path in paths}
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
    ],
)
def test_the_scan_finds_what_it_looks_for(source: str) -> None:
    assert offences(source)
