"""What the assembly says of a run before it begins."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from data_pipeline.shards.manifest import Manifest, SourceManifest
from data_pipeline.shards.reader import TokenStream, open_split
from data_pipeline.shards.writer import SourceWriter
from foundation.config import Node
from foundation.errors import ConfigError, GroundworkError
from foundation.files import read_json
from foundation.hashes import hash_file
from foundation.progress import human
from pretrain.attempts import open_attempt, read_attempts
from pretrain.checkpoint.checkpointer import NoCheckpoint
from pretrain.checkpoint.errors import NoRoom, SaveFailed
from pretrain.describe import describe, facts_of
from pretrain.main import build_log, execute
from pretrain.mesh import Mesh, PeerLost
from pretrain.metrics.loggers import NoLogger
from pretrain.run import state_of
from pretrain.run_files import FINAL, read_status
from pretrain.types import Record


@pytest.fixture
def two_sources(tmp_path: Path, data_dir: Path) -> Path:
    """A data folder with 4,000 tokens of `many` and 400 of `few`, weighted alike."""
    (tmp_path / "tokenizer.json").write_bytes((data_dir / "tokenizer.json").read_bytes())
    known = Manifest.load(data_dir)
    splits: dict[str, dict[str, SourceManifest]] = {"train": {}, "val": {}}
    for split, sources in splits.items():
        (tmp_path / "shards" / split).mkdir(parents=True)
        for name, count in {"many": 4000, "few": 400}.items():
            with SourceWriter(
                tmp_path / "shards" / split, name, np.dtype(known.dtype), max_shard_bytes=1 << 20
            ) as writer:
                writer.add(np.full(count, known.eot_id, known.dtype), np.full(count // 100, 100, np.int32))
                sources[name] = SourceManifest(1.0, count, count // 100, count, writer.finish())
    tokenizer_hash = hash_file(tmp_path / "tokenizer.json")
    Manifest(tokenizer_hash, known.vocab_size, known.eot_id, known.dtype, splits).save(tmp_path)
    return tmp_path


def test_the_plan_says_what_it_trains_on_and_how_often_each_source_is_read(
    tiny: list[str], two_sources: Path, worker: ModuleType
) -> None:
    line = [text for text in tiny if not text.startswith("data.path=")]
    run = worker.make_run(
        Mesh(0, 1, 0, torch.device("cpu")),
        [*line, f"data.path={two_sources}", "trainer.max_steps=25", "run_name=x"],
    )
    text = describe(run)
    run.loader.close()
    assert f"data: {two_sources}: 4.4 k tokens, 4.4 k held out, vocabulary 512\n" in text
    assert "parameters on 1 x cpu, products in float32, not compiled\n" in text
    flops = human(run.model.flops_per_token(run.plan.seq_len), "FLOP")
    assert f"arithmetic: {flops} a token (6 N + 12 L D T); the peak of cpu is not known: no MFU\n" in text
    # 25 steps of 8 samples, half of each; 399 // 32 = 12 and 3999 // 32 = 124 samples an epoch
    assert f"sources: few 50.0%, {100 / 12:.2f} epochs; many 50.0%, {100 / 124:.2g} epochs" in text
    assert facts_of(run) == {
        "Parameters": human(sum(parameter.numel() for parameter in run.model.parameters())),
        "Device": "1 x cpu",
        "Products in": "float32, not compiled",
        "Data": str(two_sources),
        "Tokens": "4.4 k",
        "Tokens held out": "4.4 k",
        "Vocabulary": "512",
    }


def test_on_the_meta_device_a_run_is_assembled_without_memory_and_torch_stays_as_it_was(
    tiny: list[str], worker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    line = [*tiny, "trainer.compile=true", "trainer.deterministic=true", "run_name=x", f"runs_dir={tmp_path}"]
    run = worker.make_run(Mesh(0, 1, 0, torch.device("meta")), line)
    held = {name: tensor.device.type for name, tensor in state_of(run).tensors.items()}
    assert len(held) > 10 and set(held.values()) == {"meta"}
    assert run.compiled == "not compiled"
    assert not torch.are_deterministic_algorithms_enabled() and "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    assert list(tmp_path.iterdir()) == []


def test_the_data_folder_is_opened_once(tiny: list[str], worker: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def watched(folder: Path, manifest: Manifest, split: str) -> dict[str, TokenStream]:
        opened.append(split)
        return open_split(folder, manifest, split)

    monkeypatch.setattr("pretrain.data.dataset.open_split", watched)
    run = worker.make_run(Mesh(0, 1, 0, torch.device("cpu")), [*tiny, "run_name=x"])
    describe(run)
    run.loader.micro_batches(0)
    run.loader.close()
    assert opened == ["train", "val"]


def test_a_known_peak_is_named_with_the_device(
    tiny: list[str], worker: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretrain.describe.peak_flops", lambda device: 989e12)  # as if this were a device of that peak
    run = worker.make_run(Mesh(0, 1, 0, torch.device("cpu")), [*tiny, "run_name=x"])
    run.loader.close()
    assert "(6 N + 12 L D T); MFU is of cpu's 989.0 TFLOP/s in dense bfloat16\n" in describe(run)


ON_A_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.mark.parametrize("device", [torch.device("cpu"), pytest.param(torch.device("cuda", 0), marks=ON_A_GPU)])
def test_by_default_a_gpu_s_model_is_compiled(tiny: list[str], worker: ModuleType, device: torch.device) -> None:
    run = worker.make_run(Mesh(0, 1, 0, device), [*tiny, "run_name=x", "trainer.compile=null"])
    run.loader.close()
    assert all((block._compiled_call_impl is not None) == (device.type == "cuda") for block in run.model.blocks)


def test_mfu_is_of_all_devices_together(
    tiny: list[str], worker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretrain.main.peak_flops", lambda device: 1e12)  # as if this were a device of a known peak
    run = worker.make_run(Mesh(0, 1, 0, torch.device("cpu")), [*tiny, "run_name=x", "trainer.max_steps=2"])
    run.loader.close()
    four = Mesh(1, 4, 1, torch.device("cpu"))
    log = build_log(Node("logger", NoLogger), run.model, run.plan, four, tmp_path, run.loader, None)
    log.add(Record(1, 0, 1e-3, log.clock() + 1, 2.0, 1.0, False, 256, False), 1, 256)
    expected = log.last["tokens_per_s"] * run.model.flops_per_token(run.plan.seq_len) / 4e12
    assert log.last["mfu"] == pytest.approx(expected)


@pytest.fixture
def fails(worker: ModuleType, overrides: list[str], tmp_path: Path) -> Callable[..., dict[str, Any] | None]:
    """A run that an error ends at its start or in its first step; return how its attempt was written down."""

    def fail(error: BaseException, begun: bool) -> dict[str, Any] | None:
        class Failing(NoCheckpoint):
            def load(self, *_: Any) -> bool:
                if not begun:
                    raise error
                return False

            def poll(self, num_updates: int) -> float | None:
                raise error

            def abandon(self) -> None:
                raise RuntimeError("Connection closed by peer")

        run, run_dir = worker.make_run(Mesh(0, 1, 0, torch.device("cpu")), overrides), tmp_path / "run"
        object.__setattr__(run, "checkpointer", Failing())
        run_dir.mkdir()
        open_attempt(run_dir, {}, restarts=0)
        with pytest.raises((type(error), RuntimeError)):
            execute(run, {"resume": "auto"}, run_dir)
        attempts = read_attempts(run_dir)
        return attempts[-1] if attempts else None

    return fail


@pytest.mark.parametrize(
    ("error", "begun", "status", "restart_helps"),
    [
        (ConfigError("resume: there is no such checkpoint"), False, None, False),
        (PeerLost("another rank was killed"), False, "failed", True),  # out of memory at each start: a loop of crashes
        (RuntimeError("CUDA error"), False, "failed", None),
        (SaveFailed("the disk is gone"), True, "failed", True),
        (NoRoom("the disk is full"), True, "failed", False),
        (KeyboardInterrupt(), False, None, None),
    ],
)
def test_what_failed_was_a_try_and_what_was_refused_was_none(
    fails: Callable[..., dict[str, Any] | None],
    error: BaseException,
    begun: bool,
    status: str | None,
    restart_helps: bool | None,
    tmp_path: Path,
) -> None:
    attempt = fails(error, begun)
    assert (attempt and attempt["status"]) == status
    if isinstance(error, GroundworkError):
        assert error.restart_helps is restart_helps
    told = read_status(tmp_path / "run")
    assert bool(told) is begun and told.get(FINAL, False) is (begun and restart_helps is False)


def test_a_second_ctrl_c_is_told_as_one_though_a_peer_is_lost(
    fails: Callable[..., dict[str, Any] | None], tmp_path: Path
) -> None:
    attempt = fails(KeyboardInterrupt(), True)
    assert attempt and "second Ctrl-C" in attempt["reason"]
    assert read_json(tmp_path / "run/status.json")["status"] == "preempted"
