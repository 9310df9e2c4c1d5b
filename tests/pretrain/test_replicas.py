"""A run whose ranks drift apart ends before it saves that, says which rank and what, and goes on from what is sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pretrain.checkpoint.integrity import step_folders

TRAIN = Path(__file__).parents[2] / "launch/train.py"
TENSOR = "model.blocks.1.feed_forward.up.weight"
# A memory cell of rank 1 fails after the third step. Gradients are averaged over the ranks, so every later update of
# this rank looks like everyone's, and the loss doesn't show it.
FAULT = """
import itertools, os
import torch
from pretrain.optim.adamw import AdamW
real, calls = AdamW.step, itertools.count()
def step(self, *arguments):
    real(self, *arguments)
    if next(calls) == 2 and os.environ["RANK"] == "1":
        names = self._groups[0].names
        weight = self._groups[0].parameters[names.index("blocks.1.feed_forward.up.weight")]
        weight.data.view(-1).view(torch.int32)[5] ^= 1
AdamW.step = step
"""


@pytest.mark.slow
def test_a_flipped_bit_ends_the_run_before_it_is_saved(
    overrides: list[str], tmp_path: Path, one_thread: dict[str, str], typed: Any
) -> None:
    line = [*overrides, "checkpoint=default", "checkpoint.every_steps=2"]
    run = tmp_path / "run"
    code, text = typed.start(TRAIN, line, tmp_path, one_thread, ranks=2, before=FAULT).wait()
    assert code == 2, text
    status = json.loads((run / "status.json").read_text())
    said = "step 4: the ranks no longer hold the same: rank 0 and rank 1 from each other in "
    assert said in status["reason"] and TENSOR in status["reason"]
    assert (status["status"], status["step"]) == ("failed", 4)
    assert [folder.name for folder in step_folders(run / "checkpoints")] == ["step_00000002"]
    code, text = typed.start(TRAIN, line, tmp_path, one_thread, ranks=2).wait()
    assert code == 0 and "from step 2 of 8" in text, text


@pytest.mark.slow
def test_between_saves_the_ranks_are_compared_too(
    overrides: list[str], tmp_path: Path, one_thread: dict[str, str], typed: Any
) -> None:
    line = [*overrides, "trainer.check_replicas_every_steps=5"]
    code, text = typed.start(TRAIN, line, tmp_path, one_thread, ranks=2, before=FAULT).wait()
    assert code == 2, text
    assert "step 5: the ranks no longer hold the same: rank 0 and rank 1 from each other in " in text
    assert TENSOR in text
