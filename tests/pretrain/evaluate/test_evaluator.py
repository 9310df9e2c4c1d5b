"""The evaluator: when it is due, what it reports, what it writes, and that training can't tell it was there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import orjson
import pytest
import torch

from foundation.errors import SettingError
from pretrain.data.dataset import Dataset
from pretrain.data.loader import Shards
from pretrain.evaluate.evaluator import Evaluate, NoEval, append_samples
from pretrain.evaluate.loss import Score, score
from pretrain.evaluate.sampling import generate
from pretrain.evaluate.windows import HeldOut
from pretrain.json_lines import json_line
from pretrain.mesh import Mesh
from pretrain.model.transformer import Transformer
from pretrain.plan import Plan
from pretrain.run_files import SAMPLES
from pretrain.seats import Model
from pretrain.tokenizer import Tokenizer

CPU = torch.device("cpu")
MESH = Mesh(0, 1, 0, CPU)
PLAN = Plan(seq_len=16, global_batch_size=8, micro_batch_size=4, dp_size=1, max_steps=25, samples_per_epoch=1, seed=1)
Make = Callable[..., Evaluate]


@pytest.fixture
def make(data_dir: Path, tokenizer: Tokenizer, tmp_path: Path, worker: ModuleType) -> Make:
    def evaluate(model: Model | None = None, plan: Plan = PLAN, **options: Any) -> Evaluate:
        loader = Shards(str(data_dir), prefetch_steps=0).loader(plan, MESH)
        model = worker.Bigram(tokenizer.vocab_size) if model is None else model
        options = {"every_steps": 10, "max_new_tokens": 12, **options}
        return Evaluate(
            model=model, loader=loader, tokenizer=tokenizer, mesh=MESH, plan=plan, run_dir=tmp_path / "run", **options
        )

    return evaluate


def test_is_due_every_so_many_steps_and_after_the_last(make: Make) -> None:
    assert [step for step in range(26) if make().due(step)] == [10, 20, 25]


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_an_evaluation_can_be_given_up_between_any_two_of_its_parts(
    make: Make, tokenizer: Tokenizer, worker: ModuleType, after: int
) -> None:
    model, seen = worker.Bigram(tokenizer.vocab_size), list[str]()
    model.register_forward_hook(lambda *_: seen.append("forward"))
    evaluate = make(model, prompts=["a"], max_tokens=1, train_subset_sequences=4)
    parts = iter(range(1000))

    def between() -> None:
        if next(parts) == after:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        evaluate.evaluate(10, between)
    assert len(seen) == after  # a forward pass of each source's one row, one of the subset; then the prompt
    assert model.training
    assert evaluate.evaluate(10)["samples"]


def test_none_does_nothing() -> None:
    assert not any(NoEval().due(step) for step in range(100))
    assert NoEval().evaluate(5) == {}


def test_reports_the_total_each_source_and_the_training_subset(
    make: Make, dataset: Dataset, tokenizer: Tokenizer, worker: ModuleType
) -> None:
    fields = make(train_subset_sequences=12).evaluate(10)
    model, eot = worker.Bigram(tokenizer.vocab_size), tokenizer.eot_id
    total = Score()
    for name, stream in dataset.val.items():
        one = score(model, HeldOut(stream, 16, eot), MESH, 2, eot, tokenizer.token_bytes)
        assert fields[f"val_loss/{name}"] == pytest.approx(one.loss)
        assert fields[f"val_bits_per_byte/{name}"] == pytest.approx(one.bits_per_byte)
        total += one
    assert fields["val_loss"] == pytest.approx(total.loss)
    assert fields["val_perplexity"] == pytest.approx(math.exp(total.loss))
    assert fields["val_bits_per_byte"] == pytest.approx(total.bits_per_byte)
    assert fields["train_subset_loss"] > 0
    assert "samples" not in fields


def test_the_training_subset_has_as_many_sequences_as_asked(make: Make) -> None:
    evaluate = make(train_subset_sequences=13)  # no multiple of a micro batch
    rows = evaluate._loader.samples.read(np.arange(-13, 0))
    table = evaluate._model.table_VV.detach()
    nats = torch.nn.functional.cross_entropy(
        table[torch.from_numpy(rows[:, :-1]).long()].flatten(0, 1), torch.from_numpy(rows[:, 1:]).long().flatten()
    )
    assert evaluate.evaluate(10)["train_subset_loss"] == pytest.approx(nats.item(), rel=1e-5)
    assert not any(name.startswith("train_") for name in make(train_subset_sequences=0).evaluate(10))


def test_the_micro_batch_changes_nothing_that_is_measured(make: Make) -> None:
    narrow = make(plan=replace(PLAN, micro_batch_size=1)).evaluate(10)
    assert make(plan=replace(PLAN, micro_batch_size=8)).evaluate(10) == pytest.approx(narrow)


def test_a_bound_holds_for_all_sources_together_and_all_is_scored_besides_after_the_last_step(
    make: Make, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = sum(stream.num_tokens for stream in dataset.val.values())
    targets = list[float]()

    def counted(*arguments: Any) -> Score:
        targets.append((found := score(*arguments)).targets)
        return found

    monkeypatch.setattr("pretrain.evaluate.evaluator.score", counted)
    evaluate = make(max_tokens=8 * 16, train_subset_sequences=0)
    for _ in range(2):
        evaluate.evaluate(10)
        assert len(targets) == len(dataset.val) and 6 * 16 < sum(targets) <= 8 * 16
        targets.clear()
    bounded, last = evaluate.evaluate(10), evaluate.evaluate(PLAN.max_steps)
    assert sum(targets[-len(dataset.val) :]) == every
    assert last.items() > bounded.items()  # the same model on the same tokens: one name, one measurement
    whole = make(max_tokens=None, train_subset_sequences=0).evaluate(10)
    assert {name: value for name, value in last.items() if name.startswith("val_all_")} == {
        name.replace("val_", "val_all_"): value for name, value in whole.items()
    }
    assert last["val_all_loss"] != last["val_loss"]


@pytest.mark.parametrize("max_tokens", [None, 1_000_000])
def test_where_the_bound_holds_all_nothing_is_scored_twice(
    make: Make, tokenizer: Tokenizer, worker: ModuleType, max_tokens: int | None
) -> None:
    model, seen = worker.Bigram(tokenizer.vocab_size), list[str]()
    model.register_forward_hook(lambda *_: seen.append("forward"))
    evaluate = make(model, max_tokens=max_tokens)
    first = evaluate.evaluate(10)
    once = len(seen)
    assert evaluate.evaluate(PLAN.max_steps) == first
    assert len(seen) == 2 * once


def test_what_it_costs_is_said(make: Make, dataset: Dataset) -> None:
    every = sum(stream.num_tokens for stream in dataset.val.values())
    bounded = make(max_tokens=128, train_subset_sequences=0).describe()
    assert bounded.startswith(f"112 of {every} held-out tokens every 10 steps, ")  # 7 whole sequences of 16
    assert f"each costs {112 / 3 / (10 * PLAN.tokens_per_step):.1%} of the training before it" in bounded
    assert bounded.endswith("; all of them besides, at the end")
    once = make(max_tokens=128, train_subset_sequences=0, every_steps=PLAN.max_steps).describe()
    of_run = 112 / 3 / (PLAN.max_steps * PLAN.tokens_per_step)
    assert once.startswith(f"112 of {every} held-out tokens at the end, which costs {of_run:.1%} of the training; ")
    whole = make(max_tokens=None).describe()
    assert whole.startswith(f"{every} held-out tokens") and whole.endswith("of the training before it")


def test_a_continuation_sees_as_many_tokens_as_training_did(make: Make, dataset: Dataset, tokenizer: Tokenizer) -> None:
    model = Transformer(num_layers=2, num_heads=2, d_model=16, context_len=48, vocab_size=tokenizer.vocab_size).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(20 if parameter.dim() == 2 else 1)  # so that every earlier token counts
    fields = make(model, prompts=["Return the"], max_new_tokens=40, temperature=1.0, top_k=None).evaluate(10)
    settings = {"max_new_tokens": 40, "temperature": 1.0, "top_k": None, "top_p": None, "seed": 0}
    settings |= {"vocab_size": tokenizer.vocab_size, "stop_id": tokenizer.eot_id}
    trained, longer = (
        tokenizer.decode(generate(model, tokenizer.encode("Return the"), context_len=length, **settings))
        for length in (PLAN.seq_len, model.context_len)
    )
    assert fields["samples"][0]["text"] == trained != longer


def test_an_overflow_is_infinite_in_valid_json(make: Make, tokenizer: Tokenizer, worker: ModuleType) -> None:
    fields = make(worker.Bigram(tokenizer.vocab_size, scale=1e5), prompts=["a"]).evaluate(10)
    assert fields["val_perplexity"] == math.inf
    assert orjson.loads(json_line(fields))["val_perplexity"] == "Infinity"


def test_a_diverged_model_is_recorded_and_not_sampled_from(
    make: Make, tokenizer: Tokenizer, worker: ModuleType
) -> None:
    fields = make(worker.Bigram(tokenizer.vocab_size, scale=math.nan), prompts=["a"]).evaluate(10)
    assert math.isnan(fields["val_loss"])
    assert "samples" not in fields
    assert orjson.loads(json_line(fields))["val_loss"] == "NaN"


def test_leaves_mode_gradients_and_randomness_as_they_were(
    make: Make, tokenizer: Tokenizer, worker: ModuleType
) -> None:
    model = worker.Bigram(tokenizer.vocab_size, dropout=0.5)
    for training in (True, False):
        model.train(training)
        torch.manual_seed(11)
        expected = torch.rand(4)
        torch.manual_seed(11)
        first = make(model, prompts=["Return"]).evaluate(10)
        assert torch.equal(torch.rand(4), expected)
        assert model.training is training and model.dropout.training is training
        assert model.table_VV.grad is None
        assert first == make(model, prompts=["Return"]).evaluate(10)  # dropout was off


def test_a_model_that_draws_while_it_is_measured_leaves_the_random_state(
    make: Make, tokenizer: Tokenizer, worker: ModuleType
) -> None:
    class Noisy(worker.Bigram):
        def forward(self, inputs_BT: torch.Tensor, cache: object = None) -> torch.Tensor:
            return super().forward(inputs_BT, cache) + torch.rand(())

    before = torch.get_rng_state()
    make(Noisy(tokenizer.vocab_size), prompts=["Return"]).evaluate(10)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_rank_writes_the_samples(
    data_dir: Path, tokenizer: Tokenizer, worker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda values, op: None)  # the other rank adds nothing here
    for rank in (1, 0):
        mesh = Mesh(rank, 2, rank, CPU)
        loader = Shards(str(data_dir), prefetch_steps=0).loader(PLAN, mesh)
        model = worker.Bigram(tokenizer.vocab_size)
        it = Evaluate(10, model, loader, tokenizer, mesh, PLAN, tmp_path, prompts=["Return"], max_new_tokens=3)
        assert it.evaluate(10)["samples"]
        assert (tmp_path / SAMPLES).exists() == (rank == 0)


def test_mode_comes_back_after_an_error_too(make: Make, tokenizer: Tokenizer, worker: ModuleType) -> None:
    model = worker.Bigram(tokenizer.vocab_size - 100)  # too few rows: indexing fails amid the evaluation
    model.train()
    with pytest.raises(IndexError):
        make(model).evaluate(10)
    assert model.training


def test_continues_the_prompts_and_writes_them_down(make: Make, tmp_path: Path) -> None:
    prompts = ["Return the", "Grüße {x} = [1]", ""]
    evaluate = make(prompts=prompts, temperature=1.0, top_k=None)
    fields = evaluate.evaluate(10)
    assert [sample["prompt"] for sample in fields["samples"]] == prompts
    evaluate.evaluate(20)
    lines = [orjson.loads(line) for line in (tmp_path / "run" / SAMPLES).read_bytes().splitlines()]
    assert [(line["step"], line["prompt"]) for line in lines] == [(step, p) for step in (10, 20) for p in prompts]
    assert [line["text"] for line in lines[:3]] == [sample["text"] for sample in fields["samples"]]


def test_samples_of_a_run_that_went_back_replace_the_later_ones(tmp_path: Path) -> None:
    path = tmp_path / SAMPLES
    for step, text in ((10, "a"), (20, "b"), (30, "c"), (20, "d")):
        append_samples(path, step, [{"prompt": "p", "text": text}])
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert [(line["step"], line["text"]) for line in lines] == [(10, "a"), (20, "d")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_steps": 0}, "^every_steps: 0 is not allowed; give 1 or more; eval=none"),
        ({"train_subset_sequences": -1}, "^train_subset_sequences: -1 is not allowed; give 0 to leave"),
        ({"max_tokens": 0}, "^max_tokens: 0 is not allowed; give 1 or more, or null"),
        ({"temperature": -0.5}, "^temperature: -0.5"),
        ({"top_k": 0}, "^top_k: 0"),
        ({"top_p": 1.5}, "^top_p: 1.5"),
    ],
)
def test_impossible_settings_are_refused(make: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make(**options)
