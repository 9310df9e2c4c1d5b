"""Weights, budgets and epochs: their arithmetic, and one stream of global batches whatever reads it."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from foundation.errors import ConfigError
from pretrain.checkpoint.rules import OF_SOURCES, rule_of
from pretrain.data.dataset import Dataset, Share, open_data
from pretrain.data.errors import DataError
from pretrain.data.loader import ShardLoader, Shards
from pretrain.data.samples import Samples
from pretrain.data.shares import Drawn, budgets_of, drawn_in, planned_samples, require_few_epochs
from pretrain.mesh import Mesh
from pretrain.plan import Budgets, Plan, TrainerSettings

SEQ_LEN = 16
CPU = torch.device("cpu")
Make = Callable[..., Path]
Documents = Callable[[int, int], list[np.ndarray]]
SHARES = st.one_of(
    st.floats(0.05, 9.0),
    st.fixed_dictionaries({"epochs": st.floats(0.05, 3.0)}),
    st.fixed_dictionaries({"tokens": st.integers(SEQ_LEN, 3000).map(float)}),
)
MIXTURES = st.dictionaries(st.sampled_from(["web", "code", "books"]), SHARES, min_size=1)


@pytest.fixture
def folder(make_folder: Make, documents: Documents) -> Path:
    return make_folder({"web": documents(30, 1), "code": documents(12, 2), "books": documents(6, 3)})


@pytest.fixture
def dataset(folder: Path) -> Dataset:
    return open_data(folder)


def plan_of(dataset: Dataset, mixture: dict[str, Share], batch: int = 8, **length: Any) -> Plan:
    trainer = TrainerSettings(SEQ_LEN, batch, 1, **length)
    budgets = budgets_of(dataset, SEQ_LEN, mixture)
    return trainer.plan(1, dataset.samples_per_epoch(SEQ_LEN, mixture), 5, budgets)


def samples_of(dataset: Dataset, mixture: dict[str, Share], plan: Plan) -> Samples:
    return Samples(dataset, SEQ_LEN, plan.seed, mixture, planned_samples(dataset, plan, mixture))


def asked(dataset: Dataset, share: dict[str, float], name: str) -> Fraction:
    """Return a budget in samples, unrounded."""
    if "epochs" in share:
        return Fraction(share["epochs"]) * dataset.num_samples(name, SEQ_LEN)
    return Fraction(share["tokens"]) / SEQ_LEN


FIXTURE = [HealthCheck.function_scoped_fixture]  # the folder is only read


@settings(max_examples=60, suppress_health_check=FIXTURE)
@given(mixture=MIXTURES, batch=st.integers(1, 24))
def test_every_budget_is_met_to_the_sample_and_every_prefix_has_its_share(
    dataset: Dataset, mixture: dict[str, Share], batch: int
) -> None:
    budgets = {name: share for name, share in mixture.items() if isinstance(share, dict)}
    try:
        plan = plan_of(dataset, mixture, batch)
        samples = samples_of(dataset, mixture, plan)
    except DataError:  # a budget below half a sample, or a weight too small for the rest
        assume(False)
    run = plan.max_steps * batch
    total = run if len(budgets) < len(mixture) else sum(round_half_up(asked(dataset, *item)) for item in named(budgets))
    assert 0 <= run - total < batch
    drawn = samples.drawn(total)
    for name, share in budgets.items():
        assert drawn[name] == round_half_up(asked(dataset, share, name))
    rest = total - sum(drawn[name] for name in budgets)
    weights = {name: Fraction(share) for name, share in mixture.items() if not isinstance(share, dict)}
    if budgets:
        for name, weight in weights.items():
            assert abs(drawn[name] - rest * weight / sum(weights.values())) < 1
        prefixes_have_their_shares(samples, drawn, total)


def named(budgets: dict[str, dict[str, float]]) -> list[tuple[dict[str, float], str]]:
    return [(share, name) for name, share in budgets.items()]


def round_half_up(number: Fraction) -> int:
    return math.floor(number + Fraction(1, 2))


def prefixes_have_their_shares(samples: Samples, drawn: dict[str, int], total: int) -> None:
    for number in range(total + 1):
        for name, count in samples.drawn(number).items():
            assert abs(Fraction(count) - Fraction(number * drawn[name], total)) < 1


@settings(max_examples=15, suppress_health_check=FIXTURE)
@given(
    mixture=MIXTURES,
    split=st.sampled_from([(1, 1, 12), (1, 12, 1), (1, 3, 4), (2, 2, 3), (2, 6, 1), (3, 4, 1), (4, 1, 3), (4, 3, 1)]),
    ahead=st.integers(0, 3),
    steps=st.lists(st.integers(0, 30), min_size=1, max_size=4),
)
def test_the_stream_of_global_batches_is_the_same_however_it_is_read(
    folder: Path, mixture: dict[str, Share], split: tuple[int, int, int], ahead: int, steps: list[int]
) -> None:
    ranks, micro, accumulated = split
    assert ranks * micro * accumulated == 12
    shards = Shards(str(folder), mixture, prefetch_steps=ahead, max_epochs_per_source=None)
    try:
        length = plan_of(shards.dataset, mixture, 12).max_steps
        whole = samples_of(shards.dataset, mixture, plan_of(shards.dataset, mixture, 12))
    except DataError:
        assume(False)
    plan = Plan(SEQ_LEN, 12, micro, ranks, length, 1, 5)
    loaders = [shards.loader(plan, Mesh(rank, ranks, rank, CPU)) for rank in range(ranks)]
    for step in steps:
        rows, numbers = global_batch(loaders, step)
        expected = np.arange(step * 12, step * 12 + 12)
        assert np.array_equal(numbers, expected)
        assert np.array_equal(rows, whole.read(expected))
    for loader in loaders:
        loader.close()


def global_batch(loaders: list[ShardLoader], step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (12, SEQ_LEN + 1) tokens and (12,) sample numbers, in the order of the numbers."""
    batches = [batch for loader in loaders for batch in loader.micro_batches(step)]
    numbers = np.concatenate([batch.samples for batch in batches])
    inputs, targets = (torch.cat([getattr(each, name) for each in batches]) for name in ("inputs_BT", "targets_BT"))
    order = np.argsort(numbers)
    return torch.cat([inputs, targets[:, -1:]], dim=1).numpy()[order], numbers[order]


def test_by_hand(dataset: Dataset) -> None:
    counts = {name: dataset.num_samples(name, SEQ_LEN) for name in dataset.train}
    mixture: dict[str, Share] = {"web": 3.0, "code": {"epochs": 1.5}, "books": {"tokens": 10.4 * SEQ_LEN}}
    plan = plan_of(dataset, mixture, batch=8, max_steps=100)
    code = math.floor(1.5 * counts["code"] + 0.5)
    assert planned_samples(dataset, plan, mixture) == {"books": 10, "code": code, "web": 800 - 10 - code}


def test_without_a_length_budgets_come_on_top_of_one_epoch_of_the_weighted(dataset: Dataset) -> None:
    web, books = (dataset.num_samples(name, SEQ_LEN) for name in ("web", "books"))
    mixture: dict[str, Share] = {"web": 0.7, "books": {"epochs": 2}}
    assert budgets_of(dataset, SEQ_LEN, mixture) == Budgets(2 * books, web)
    assert plan_of(dataset, mixture, batch=1).max_steps == 2 * books + web
    assert plan_of(dataset, mixture, batch=1, max_epochs=3.0).max_steps == 2 * books + 3 * web
    assert budgets_of(dataset, SEQ_LEN, {"web": 0.7}) is None


def test_budgets_alone_decide_the_length(dataset: Dataset) -> None:
    mixture: dict[str, Share] = {"web": {"tokens": 20.0 * SEQ_LEN}, "code": {"tokens": 15.0 * SEQ_LEN}}
    plan = plan_of(dataset, mixture, batch=8)
    assert plan.max_steps == 5  # 35 samples; the last batch goes on in the same shares
    assert samples_of(dataset, mixture, plan).drawn(35) == {"code": 15, "web": 20}
    assert plan_of(dataset, mixture, batch=8, max_tokens=35 * SEQ_LEN).max_steps == 5
    with pytest.raises(
        ConfigError, match=r"trainer\.max_epochs: 2\.0 counts passes over the sources that have weights"
    ):
        plan_of(dataset, mixture, max_epochs=2.0)


@pytest.mark.parametrize(
    ("mixture", "steps", "parts"),
    [
        (
            {"web": {"tokens": 1600.0}, "code": {"tokens": 800.0}},
            3,
            [
                r"^data\.mixture: the budgets take code 50 \+ web 100 = 150 samples of 16 tokens, the run has 3 steps "
                r"x 8 = 24 samples \(384 tokens\): the budgets exceed it; lower them or make the run longer; or leave"
            ],
        ),
        (
            {"web": {"tokens": 160.0}},
            3,
            ["the budgets take web 10 samples", "the budgets don't fill it; give a source"],
        ),
        (
            {"web": {"tokens": 384.0}, "code": 1.0},
            3,
            ["leave 0 of them for the sources with weights, .* for code; low"],
        ),
        ({"web": {"tokens": 368.0}, "code": 1.0, "books": 1.0}, 3, ["leave 1 of them .* none of which is for code;"]),
        (
            {"web": {"tokens": 999.0}, "code": 1.0},
            3,
            ["exceed it; lower them or make the run longer; of weights alone"],
        ),
        (
            {"web": {"tokens": 7.0}},
            3,
            [r"data\.mixture\.web: tokens=7 is less than half a sample of trainer\.seq_len=16"],
        ),
    ],
)
def test_contradictions_are_told_with_the_arithmetic(
    dataset: Dataset, mixture: dict[str, Share], steps: int, parts: list[str]
) -> None:
    with pytest.raises(DataError) as error:
        planned_samples(dataset, plan_of(dataset, mixture, max_steps=steps), mixture)
    for part in parts:
        error.match(part)


def test_the_manifest_s_budgets_hold_until_the_mixture_says_otherwise(make_folder: Make, documents: Documents) -> None:
    train = {"web": documents(30, 1), "books": documents(6, 3)}
    dataset = open_data(make_folder(train, budgets={"books": {"epochs": 2.0}}))
    assert dataset.shares() == {"books": {"epochs": 2.0}, "web": 1.0}
    assert dataset.shares({"web": 1.0, "books": 1.0}) == {"books": 1.0, "web": 1.0}
    plan = plan_of(dataset, None, batch=8)  # type: ignore[arg-type]
    assert samples_of(dataset, None, plan).drawn(plan.max_steps * 8)["books"] == 2 * dataset.num_samples("books", 16)  # type: ignore[arg-type]


def test_a_source_that_would_be_read_too_often_stops_the_run_with_the_arithmetic(dataset: Dataset) -> None:
    web, books = (dataset.num_samples(name, SEQ_LEN) for name in ("web", "books"))
    plan, read = Plan(SEQ_LEN, 1, 1, 1, 2 * web + 6 * books, 1, 5), {"web": 2 * web, "books": 6 * books}
    drawn = Drawn(read, {"web": 1, "books": 0}, read)
    with pytest.raises(DataError) as error:
        require_few_epochs(dataset, plan, drawn, 4.0)
    tokens, run, shorter = 6 * books * SEQ_LEN, plan.max_tokens, plan.max_tokens * 4 // 6
    error.match(r"^data\.max_epochs_per_source: the run would read the source 'books' of .* too often\.")
    error.match(
        rf"{tokens:,} of the run's {run:,} tokens come from it, and it holds {tokens // 6:,}: that is 6\.00 times,"
    )
    error.match(rf"and the limit is 4 .* at most trainer\.max_tokens={shorter}, or more text; where so many")
    error.match(r"data\.max_epochs_per_source=6 \(null for any number\)")
    require_few_epochs(dataset, plan, drawn, 6.0)
    require_few_epochs(dataset, plan, drawn, None)


def test_a_limit_that_is_just_met_lets_the_last_batch_go_beyond(folder: Path) -> None:
    shards = Shards(str(folder), {"web": {"epochs": 4}})
    for trainer in (TrainerSettings(SEQ_LEN, 7, 1), TrainerSettings(SEQ_LEN, 64, 1)):
        plan = trainer.plan(1, shards.samples_per_epoch(SEQ_LEN), 0, shards.budgets(SEQ_LEN))
        assert shards.loader(plan, Mesh(0, 1, 0, CPU)).samples.weights["web"] == 4 * shards.samples_per_epoch(SEQ_LEN)


def judge(dataset: Dataset, mixture: dict[str, Share], batch: int, limit: float = 4.0, **length: Any) -> dict[str, int]:
    """Judge how often a run reads each source; return what it reads in all."""
    plan = plan_of(dataset, mixture, batch, **length)
    planned = planned_samples(dataset, plan, mixture)
    samples = Samples(dataset, SEQ_LEN, plan.seed, mixture, planned)
    drawn = drawn_in(samples, plan, planned)
    require_few_epochs(dataset, plan, drawn, limit, planned is not None)
    return drawn.run


def small_and_large(dataset: Dataset) -> tuple[int, int]:
    counts = [dataset.num_samples(name, SEQ_LEN) for name in ("books", "web")]
    assert counts[0] * 3 < counts[1]
    return counts[0], counts[1]


def test_every_source_is_judged_not_only_the_one_read_most_often(dataset: Dataset) -> None:
    """What only fills the last batch of a small source hides no other one, and is no more than a rest."""
    small, large = small_and_large(dataset)
    mixture: dict[str, Share] = {"books": 9.0 * small, "web": 5.0 * large}
    with pytest.raises(DataError, match=r"the source 'books' of .* (8\.9|9\.0)\d times"):
        judge(dataset, mixture, (9 * small + 5 * large) // 3, max_steps=3)  # a batch is more than 5 times the books
    # Where what fills the last batch is all that is too much of the small one, it is the large one that is named.
    drawn = {"books": 9 * small, "web": 5 * large}
    needed = {"books": 4 * small, "web": 5 * large - 8}
    plan = Plan(SEQ_LEN, 8, 1, 1, sum(drawn.values()) // 8, 1, 5)
    with pytest.raises(DataError, match=r"the source 'web' of .* 5\.00 times"):
        require_few_epochs(dataset, plan, Drawn(drawn, {"books": 2, "web": 6}, needed), 4.0)


def test_a_batch_that_alone_reads_a_source_too_often_is_refused_however_short_the_run(dataset: Dataset) -> None:
    small, _ = small_and_large(dataset)
    for mixture in ({"books": 1.0}, {"books": {"epochs": 4}}):
        with pytest.raises(
            DataError, match=r"a smaller trainer\.global_batch_size, for one alone reads it 5\.00 times"
        ):
            judge(dataset, mixture, 5 * small, max_steps=1)  # type: ignore[arg-type]
        assert judge(dataset, mixture, small - 1)["books"] >= small - 1  # type: ignore[arg-type]
    assert judge(dataset, {"books": 1.0}, small, max_steps=4) == {"books": 4 * small}
    with pytest.raises(DataError, match=r"5\.00 times"):
        judge(dataset, {"books": 1.0}, small, max_steps=5)


@settings(max_examples=60, suppress_health_check=FIXTURE)
@given(limit=st.floats(0.5, 6.0), batch=st.integers(1, 40), weighted=st.booleans())
def test_a_run_as_long_as_the_limit_is_let_through_and_a_batch_more_is_not(
    dataset: Dataset, limit: float, batch: int, weighted: bool
) -> None:
    small, _ = small_and_large(dataset)
    assume(batch <= limit * small - 1)
    mixture: dict[str, Share] = {"books": 1.0} if weighted else {"books": {"epochs": limit}}
    length = {"max_epochs": limit} if weighted else {}
    read = judge(dataset, mixture, batch, limit, **length)["books"]
    assert limit * small - 1 < read < limit * small + batch + 1
    if weighted:
        with pytest.raises(DataError, match="too often"):
            judge(dataset, mixture, batch, limit, max_steps=read // batch + 1 + (read == math.floor(limit * small)))


def test_another_length_of_a_run_with_budgets_is_another_order_and_one_with_weights_is_not(folder: Path) -> None:
    def identity(mixture: dict[str, Share], steps: int) -> dict[str, Any]:
        shards = Shards(str(folder), mixture, max_epochs_per_source=None)
        return shards.loader(Plan(SEQ_LEN, 8, 1, 1, steps, 1, 5), Mesh(0, 1, 0, CPU)).identity()

    weights: dict[str, Share] = {"web": 2.0, "code": 1.0}
    budgets: dict[str, Share] = {"web": 2.0, "code": {"epochs": 1}}
    assert identity(weights, 50) == identity(weights, 60)
    fewer, more = identity(budgets, 50)["sources"]["web"], identity(budgets, 60)["sources"]["web"]
    assert more["samples_of_the_run"] - fewer["samples_of_the_run"] == 80
    changed = {key: rule_of(f"data.sources.web.{key}") for key in more if more[key] != fewer[key]}
    assert changed == {"samples_of_the_run": OF_SOURCES["samples_of_the_run"]}


def test_the_same_mixture_in_other_words_is_the_same_run(make_folder: Make, documents: Documents) -> None:
    train = {"web": documents(30, 1), "code": documents(12, 2)}
    by_weight = make_folder(train, weights={"web": 2.0, "code": 1.0}, name="by_weight")
    by_budget = make_folder(train, weights={"web": 2.0}, budgets={"code": {"epochs": 2.0}}, name="by_budget")
    code = open_data(by_weight).num_samples("code", SEQ_LEN)

    def identity(folder: Path, mixture: dict[str, Share] | None) -> dict[str, Any]:
        shards = Shards(str(folder), mixture, max_epochs_per_source=None)
        return shards.loader(Plan(SEQ_LEN, 8, 1, 1, 100, 1, 5), Mesh(0, 1, 0, CPU)).identity()

    weights: list[dict[str, Share] | None] = [None, {"web": 2, "code": 1}, {"code": 0.5, "web": 1.0}]
    budgets: list[dict[str, Share] | None] = [
        None,
        {"web": 7.0, "code": {"epochs": 2}},
        {"web": 1, "code": {"tokens": 2.0 * code * SEQ_LEN}},
    ]
    for folder, mixtures in ((by_weight, weights), (by_budget, budgets)):
        first, *others = (identity(folder, mixture) for mixture in mixtures)
        assert all(other == first for other in others)
        assert identity(folder, {"web": 1.0, "code": 1.0}) != first
