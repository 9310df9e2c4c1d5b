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
CONFIG: dict[str, Any] = {
    "optim": {"_target_": "a.A", "lr": 1e-3, "beta2": 0.9},
    "trainer": {"max_steps": 9, "micro_batch_size": 2},
    "logger": {"_target_": "b.B"},
    "resume": "auto",
    "allow_change": [],
}


def facts(plan: Plan, **model: Any) -> dict[str, Any]:
    shape = {"num_layers": 2, "dropout": 0.0, **model}
    return gate_facts(shape, tokenizer_hash="aa", data_hash="bb", plan=plan)


def refused(saved: dict[str, Any], present: dict[str, Any]) -> str:
    with pytest.raises(ResumeRefused) as caught:
        require_same_run(FOLDER, {"step": 10, "gate": saved}, {"gate": present})
    return str(caught.value)


def changed(**groups: Any) -> dict[str, Any]:
    """The gate's facts with another config."""
    return {"config": {key: CONFIG[key] | value if isinstance(value, dict) else value for key, value in groups.items()}}


def of(plan: Plan, **groups: Any) -> dict[str, Any]:
    merged = {**CONFIG, **changed(**groups)["config"]}
    return facts(plan) | {"config": merged}


def test_the_same_run_passes(plan: Plan) -> None:
    assert require_same_run(FOLDER, {"gate": of(plan)}, {"gate": of(plan)}) == []


@pytest.mark.parametrize("free", ["micro_batch_size", "dp_size", "max_steps"])
def test_the_split_of_the_batch_is_no_fact_of_the_data(plan: Plan, free: str) -> None:
    present = facts(dataclasses.replace(plan, **{free: 64}))
    assert require_same_run(FOLDER, {"gate": facts(plan)}, {"gate": present}) == []


def test_every_differing_key_is_listed_with_both_values(plan: Plan) -> None:
    other = dataclasses.replace(plan, seq_len=16, global_batch_size=8, seed=5)
    text = refused(facts(plan), facts(other, num_layers=3, rotary=True) | {"tokenizer.json": "cc"})
    rows = [line.split() for line in text.splitlines()]
    for row in (
        ["key", "saved", "now", "verdict"],
        ["model.num_layers", "2", "3", "refused:"],
        ["model.rotary", "nothing", "true", "refused:"],
        ["trainer.seq_len", "8", "16", "refused:"],
        ["trainer.global_batch_size", "4", "8", "refused:"],
        ["seed", "0", "5", "refused:"],
        ["tokenizer.json", '"aa"', '"cc"', "refused:"],
    ):
        assert row in [found[:4] for found in rows]
    assert "dropout" not in text and "manifest" not in text
    assert text.startswith(f"{FOLDER}: what changed since step 10 can't all go on:\n")
    assert "set back what is refused; or choose another run_name=, or start anew with resume=never" in text


def test_the_table_is_whole_and_the_line_to_type_ready(plan: Plan) -> None:
    text = refused(of(plan), of(plan, optim={"lr": 2e-3}, trainer={"max_steps": 12, "micro_batch_size": 1}))
    assert "optim.lr                  0.001  0.002  needs allow_change=[optim.lr]: from here on\n" in text
    assert "trainer.max_steps         9      12     needs allow_change=[trainer.max_steps]: the length" in text
    assert (
        "trainer.micro_batch_size  2      1      free: the same batch, summed in another order: bits may differ" in text
    )
    assert "to go on so: allow_change=[optim.lr,trainer.max_steps]; or choose another run_name=" in text
    both = of(plan, optim={"lr": 2e-3}, trainer={"max_steps": 12}, allow_change=["optim"])
    text = refused(of(plan), both)
    assert "allowed by allow_change: from here on\n" in text
    assert "to go on so: allow_change=[optim,trainer.max_steps]" in text  # what was typed already stays


def test_another_option_is_allowed_as_a_group(plan: Plan) -> None:
    other = of(plan) | {"config": CONFIG | {"optim": {"_target_": "c.C", "lr": 0.1, "momentum": 0.9}}}
    text = refused(of(plan), other)
    assert '"a.A"' in text and '"c.C"' in text and "optim.beta2" in text and "optim.momentum" in text
    assert "to go on so: allow_change=[optim]; or" in text


def test_what_is_allowed_or_free_goes_on_and_says_so(plan: Plan) -> None:
    line = of(plan, optim={"lr": 2e-3}, logger={"_target_": "c.C"}, allow_change=["optim.lr"], resume="a/path")
    found = require_same_run(FOLDER, {"gate": of(plan)}, {"gate": line}, ranks=(1, 2))
    assert {change.key: change.matters for change in found} == {
        "logger._target_": False,
        "optim.lr": True,
        "ranks": True,
    }
    assert {change.verdict.partition(":")[0] for change in found} == {"free", "allowed by allow_change"}


def test_what_the_run_has_gone_on_with_since_need_not_be_allowed_again(plan: Plan) -> None:
    line = of(plan, trainer={"max_steps": 12})
    (found,) = require_same_run(FOLDER, {"gate": of(plan)}, {"gate": line}, accepted=line["config"])
    assert found.verdict.startswith("allowed by allow_change")
    with pytest.raises(ResumeRefused, match=r"trainer\.max_steps  9      12   needs"):
        require_same_run(FOLDER, {"gate": of(plan)}, {"gate": line}, accepted=CONFIG)
    other = dataclasses.replace(plan, seed=5)
    line = facts(other) | {"config": CONFIG | {"seed": 5}}
    with pytest.raises(ResumeRefused, match="seed"):  # what is refused stays so
        require_same_run(FOLDER, {"gate": of(plan)}, {"gate": line}, accepted=line["config"])


def test_a_key_that_a_class_got_since_is_no_change_at_its_default(plan: Plan) -> None:
    since = of(plan, optim={"foreach": None, "amsgrad": True})
    since |= {"defaults": {"optim.foreach": None, "optim.amsgrad": False}}
    assert "optim.amsgrad  false  true  needs" in refused(of(plan), since)
    assert "foreach" not in refused(of(plan), since)
    other = since | {"config": since["config"] | {"optim": since["config"]["optim"] | {"_target_": "c.C"}}}
    assert "optim.foreach" in refused(of(plan), other)  # of another class: there it is a key of its own
    assert require_same_run(FOLDER, {"gate": since}, {"gate": since | {"defaults": {}}}) == []


def test_allow_change_does_not_lift_what_is_refused(plan: Plan) -> None:
    other = dataclasses.replace(plan, seed=5)
    text = refused(of(plan), facts(other) | {"config": CONFIG | {"allow_change": ["seed", "optim"], "seed": 5}})
    assert "refused: the steps before it were made of other samples" in text and "to go on so" not in text


def test_a_key_that_is_none_is_named_with_the_nearest(plan: Plan) -> None:
    text = refused(of(plan), of(plan, allow_change=["optm.lr"]))
    assert text == "allow_change: 'optm.lr' is no key of this run, did you mean 'optim.lr'?; give full keys or groups"
    assert "'optim.lrr' is no key of this run, did you mean 'optim.lr'?" in refused(
        of(plan), of(plan, allow_change=["optim.lrr"])
    )
    line = of(plan, allow_change=["optim.momentum"])  # of the option that was left: the same line typed again
    assert "'optim.momentum' is no key of this run" in refused(of(plan), line)
    assert require_same_run(FOLDER, {"gate": line}, {"gate": line}) == []


def test_the_environment_is_free_shown_and_not_asked_of_a_checkpoint_without_it(plan: Plan) -> None:
    old, new = {"torch": "2.12.0", "code": "aa", "python": "3.11"}, {"torch": "2.13.0", "code": "bb", "python": "3.11"}
    saved, present = {"gate": of(plan), "environment": old}, {"gate": of(plan), "environment": new}
    found = require_same_run(FOLDER, saved, present)
    assert [(change.key, change.saved, change.now) for change in found] == [
        ("environment.code", '"aa"', '"bb"'),
        ("environment.torch", '"2.12.0"', '"2.13.0"'),
    ]
    assert all("bits may differ" in change.verdict and change.matters for change in found)
    assert require_same_run(FOLDER, {"gate": of(plan)}, present) == []
    assert require_same_run(FOLDER, {"gate": facts(plan), "environment": new}, present) == []


def test_false_is_not_zero_but_a_whole_number_is_itself() -> None:
    assert "false" in refused({"seed": False}, {"seed": 0})
    assert require_same_run(FOLDER, {"gate": {"seed": 1}}, {"gate": {"seed": 1.0}}) == []
    assert len(refused({"seed": "x" * 10_000}, {"seed": "y"})) < 600


def test_infinity_is_no_null() -> None:
    assert '"inf"' in refused({"seed": float("inf")}, {"seed": None})


def sources(**samples: int) -> dict[str, Any]:
    return {name: {"weight": 1.0, "samples_per_epoch": count, "tail_tokens": 3} for name, count in samples.items()}


def test_shards_made_anew_are_told_in_words_without_hashes_or_json(plan: Plan) -> None:
    saved = facts(plan) | {"data.sources": sources(books=9, web=1200)}
    present = gate_facts({"num_layers": 2, "dropout": 0.0}, "cc", "dd", plan) | {"data.sources": sources(web=800)}
    text = refused(saved, present)
    assert (
        "shards of data.path  books 9 samples an epoch, web 1,200 samples an epoch  "
        "no books, web 800 samples an epoch, another tokenizer  refused: a run goes on with its own shards alone"
        in text
    )
    assert '"' not in text and "tokenizer.json" not in text and "data.sources" not in text
    assert text.endswith("of other shards: make them again with the settings they had")
    there, here = ({"config": {**CONFIG, "data": {"path": f"data/{name}"}}} for name in ("old", "new"))
    assert refused(saved | there, present | here).endswith(
        'of other shards: set data.path="data/old" back, or make them again with the settings they had'
    )
    assert "\n  seed                 0 " in refused(saved, present | {"seed": 7})


def test_other_shards_of_the_same_counts_are_other_shards(plan: Plan) -> None:
    text = refused(facts(plan), gate_facts({"num_layers": 2, "dropout": 0.0}, "aa", "dd", plan))
    assert "shards of data.path  the run's own  others  refused" in text


def test_another_mixture_of_the_same_shards_is_a_setting_by_its_full_key(plan: Plan) -> None:
    saved, present = (facts(plan) | {"data.sources": sources(web=count)} for count in (5, 6))
    assert "data.sources.web.samples_per_epoch  5      6    refused" in refused(saved, present)


@pytest.mark.parametrize(("saved", "present"), [({}, {"model.a": {}}), ({"model.a": {}}, {"model.a": {"b": None}})])
def test_an_empty_mapping_is_a_value(saved: dict[str, Any], present: dict[str, Any]) -> None:
    assert "model.a" in refused(saved, present)
    assert require_same_run(FOLDER, {"gate": present}, {"gate": present}) == []
