"""Both commands read the same tokens, and ours is timed by its own lines."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from pretrain.data.dataset import open_data
from pretrain.metrics.lines import read_metrics
from pretrain.parallel.precision import Precision
from pretrain.tokenizer import Tokenizer


@pytest.fixture
def loop(script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = script("train_loop")
    monkeypatch.setattr(module, "NUM_TOKENS", {"train": 20_000, "val": 2000})
    return module


def test_both_sides_read_the_same_tokens(loop: ModuleType, tmp_path: Path) -> None:
    loop.write_corpus(tmp_path, vocab_size=512)
    data = open_data(tmp_path / "shards_of_ours")
    for split, streams in (("train", data.train), ("val", data.val)):
        theirs = np.fromfile(tmp_path / "bin_of_nanogpt" / f"{split}.bin", dtype=np.uint16)
        (stream,) = streams.values()
        assert np.array_equal(stream.tokens(0, stream.num_tokens), theirs)
        assert len(theirs) == loop.NUM_TOKENS[split]
        assert theirs.max() < 512
    assert Tokenizer.load(data.path, data.manifest).encode("ab")


@pytest.mark.slow
def test_our_command_is_timed_by_the_median_of_its_lines(loop: ModuleType, tmp_path: Path) -> None:
    loop.write_corpus(tmp_path, vocab_size=512)
    work = SimpleNamespace(
        model="gpt_tiny", seq_len=16, batch_size=4, micro_batch_size=2, vocab_size=512,
        compile=False, device=torch.device("cpu"), precision=Precision("float32"),
    )  # fmt: skip
    median_s = loop.run_ours(work, tmp_path, steps=6, repeat=0)
    lines = list(read_metrics(tmp_path / "runs/repeat0/metrics.jsonl"))
    assert [line["tokens_seen"] for line in lines] == [64 * step for step in range(1, 7)]
    assert median_s == statistics.median(line["step_time_s"] for line in lines[3:])
