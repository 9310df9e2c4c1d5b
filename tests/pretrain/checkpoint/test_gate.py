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


def sources(**samples: int) -> dict[str, Any]:
    return {name: {"weight": 1.0, "samples_per_epoch": count, "tail_tokens": 3} for name, count in samples.items()}


def test_shards_made_anew_are_told_in_words_without_hashes_or_json(plan: Plan) -> None:
    saved = facts(plan) | {"data.sources": sources(books=9, web=1200)}
    present = gate_facts({"num_layers": 2, "dropout": 0.0}, "cc", "dd", plan) | {"data.sources": sources(web=800)}
    with pytest.raises(ResumeRefused) as caught:
        require_same_run(FOLDER, saved, present)
    assert str(caught.value) == (
        f"{FOLDER}: saved by a run that differs in what must stay the same:\n"
        "  data.path: holds other shards than those the run was trained on: books 9 samples an epoch then, none now, "
        "web 1,200 samples an epoch then, 800 now, another tokenizer\n"
        "a run goes on with its own shards alone: make them again with the settings they had, or start another run "
        "with run_name=... or resume=never"
    )
    present |= {"seed": 7}
    with pytest.raises(
        ResumeRefused, match=r"(?s)data.path: .*\n  seed: saved 0, now 7\n.* had and set these back, or"
    ):
        require_same_run(FOLDER, saved, present)


def test_other_shards_of_the_same_counts_are_other_shards(plan: Plan) -> None:
    with pytest.raises(ResumeRefused, match=r"data.path: holds other shards than those the run was trained on\n"):
        require_same_run(FOLDER, facts(plan), gate_facts({"num_layers": 2, "dropout": 0.0}, "aa", "dd", plan))


def test_another_mixture_of_the_same_shards_is_a_setting_by_its_full_key(plan: Plan) -> None:
    saved, present = (facts(plan) | {"data.sources": sources(web=count)} for count in (5, 6))
    with pytest.raises(ResumeRefused, match=r"data\.sources\.web\.samples_per_epoch: saved 5, now 6\nset these back"):
        require_same_run(FOLDER, saved, present)


@pytest.mark.parametrize(("saved", "present"), [({}, {"a": {}}), ({"a": {}}, {"a": {"b": None}})])
def test_an_empty_mapping_is_a_value(saved: dict[str, Any], present: dict[str, Any]) -> None:
    with pytest.raises(ResumeRefused, match="a: saved"):
        require_same_run(FOLDER, saved, present)
    require_same_run(FOLDER, present, present)
