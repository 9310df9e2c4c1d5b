"""The gate names every difference and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pretrain.checkpoint.errors import ResumeRefused
from pretrain.checkpoint.gate import gate_facts, require_same_run
from pretrain.plan import Plan

FOLDER = Path("runs/x/checkpoints/step_00000010")


def facts(plan: Plan, **model: Any) -> dict[str, Any]:
    shape = {"num_layers": 2, "dropout": 0.0, **model}
    return gate_facts(shape, tokenizer_hash="aa", data_hash="bb", plan=plan)


def test_the_same_run_passes(plan: Plan) -> None:
    require_same_run(FOLDER, facts(plan), facts(plan))


@pytest.mark.parametrize("free", ["micro_batch_size", "dp_size", "max_steps"])
def test_the_split_of_the_batch_and_the_length_are_free(plan: Plan, free: str) -> None:
    require_same_run(FOLDER, facts(plan), facts(dataclasses.replace(plan, **{free: 64})))


def test_every_differing_key_is_listed_with_both_values(plan: Plan) -> None:
    other = dataclasses.replace(plan, seq_len=16, global_batch_size=8, seed=5)
    present = facts(other, num_layers=3, rotary=True) | {"tokenizer.json": "cc"}
    with pytest.raises(ResumeRefused) as caught:
        require_same_run(FOLDER, facts(plan), present)
    for line in (
        "model.num_layers: saved 2, now 3",
        "model.rotary: saved nothing, now true",
        "trainer.seq_len: saved 8, now 16",
        "trainer.global_batch_size: saved 4, now 8",
        "seed: saved 0, now 5",
        'tokenizer.json: saved "aa", now "cc"',
    ):
        assert line in str(caught.value)
    assert "dropout" not in str(caught.value) and "manifest" not in str(caught.value)


def test_false_is_not_zero_and_long_values_are_cut() -> None:
    with pytest.raises(ResumeRefused, match="a: saved false, now 0"):
        require_same_run(FOLDER, {"a": False}, {"a": 0})
    with pytest.raises(ResumeRefused) as caught:
        require_same_run(FOLDER, {"a": "x" * 10_000}, {"a": "y"})
    assert len(str(caught.value)) < 500
