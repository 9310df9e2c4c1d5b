"""Every kind of fault on one rank of several: caught on all, nothing else is, and all ranks go back together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pretrain.metrics.lines import read_metrics

WORKER = Path(__file__).with_name("rewind_worker.py")

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_faults_on_one_rank(
    overrides: list[str], tmp_path: Path, one_thread: dict[str, str], typed: Any, ranks: int
) -> None:
    changed = ("checkpoint=", "trainer.max_steps=", "trainer.global_batch_size=", "trainer.micro_batch_size=")
    kept = [text for text in overrides if not text.startswith(changed)]
    line = [*kept, "checkpoint=default", "checkpoint.every_steps=10", "checkpoint.healthy_after_steps=5"]
    line += ["trainer.max_steps=60", "trainer.global_batch_size=16", "trainer.micro_batch_size=2", "spike=rewind"]
    line += ["spike.window_steps=20", "spike.min_accepted_steps=12", "spike.rewind.before_steps=2"]
    line += ["spike.rewind.after_steps=2", "spike.rewind.within_steps=3", "checkpoint.asynchronous=false"]
    code, text = typed.start(WORKER, [str(tmp_path), *line], tmp_path, one_thread, ranks=ranks).wait()
    assert code == 0, text
    folder = tmp_path / "run"
    lines = list(read_metrics(folder / "metrics.jsonl"))
    skipped = [record["data_step"] for record in lines if record["skipped"]]
    assert skipped == [5, 24, 27, 30]  # and none of the clean ones
    assert [record["data_step"] for record in lines] == [*range(38), *range(45, 67)]
    told = [json.loads(record) for record in (folder / "journal.jsonl").read_text().splitlines()]
    events = [record["event"] for record in told if record["event"] != "checkpoint_set_aside"]
    assert events == ["skip"] * 3 + ["replay", "replaying", "rewind", "rewound", "skip"]  # the last was done again
    # a bit that differs on one rank would have been seen by the comparison before each save
    one, *others = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(ranks)]
    for status, tensors in others:
        assert status == one[0]
        assert all(torch.equal(tensor, one[1][name]) for name, tensor in tensors.items())
    box = json.loads(next(folder.glob("blackbox/*batch_00000040")).joinpath("step.json").read_text())
    assert box["loss_per_rank"][str(ranks - 1)] == "NaN"
    assert sum(loss == "NaN" for loss in box["loss_per_rank"].values()) == 1
