"""The plan: the arithmetic of the trainer, estimates that say so, plans that can't be met."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.mix.plan import Estimate, PlanError, Taken, check_plan, estimate, plan, too_often
from data_pipeline.mix.weights import Reads

KEY = "corpus.sources.{}"


def test_weights_share_a_run_and_epochs_follow() -> None:
    found = plan({"web": Reads(3.0), "books": Reads(1.0)}, {"web": 600, "books": 20}, 400)
    assert found.taken == {"web": Taken(300, 0.75, 0.5), "books": Taken(100, 0.25, 5.0)}
    assert found.is_given and found.excess == 0
    (line,) = too_often(found, KEY, are_estimates=False)
    assert line.startswith("books would be read 5.0 times") and "corpus.sources.books.budget='{epochs: 4}'" in line
    assert "about 5.0 times" in too_often(found, KEY, are_estimates=True)[0]
    (line,) = too_often(found, KEY, False, {"web": "web", "books": "all"})
    assert line.endswith("set mix.temperature nearer to 1 or mix.min_group_frac higher, or a shorter run")
    (line,) = too_often(plan({"web": Reads(1.0)}, {"web": 10}, 100), KEY, False)
    assert line.endswith("give it more text, or a run of at most mix.tokens=40")


def test_budgets_take_their_part_and_weights_the_rest() -> None:
    budgets = {"books": Reads(1.0, {"epochs": 2.0}), "wiki": Reads(1.0, {"tokens": 40})}
    reads = {"web": Reads(2.0), "code": Reads(1.0), **budgets}
    held = {"web": 100, "code": 100, "books": 30, "wiki": 10}
    taken = plan(reads, held, 400).taken
    assert {name: each.tokens for name, each in taken.items()} == {"web": 200, "code": 100, "books": 60, "wiki": 40}
    assert taken["wiki"].epochs == 4.0 and taken["books"].share == 0.15


def test_without_a_length_a_run_is_one_epoch_as_the_trainer_s() -> None:
    reads = {"web": Reads(2.0), "books": Reads(1.0, {"epochs": 3.0})}
    found = plan(reads, {"web": 100, "books": 10}, None)
    assert (found.total, found.is_given) == (130, False)
    assert found.taken["web"].epochs == 1.0 and found.taken["books"].epochs == 3.0


def test_what_is_not_known_is_not_made_up() -> None:
    held = {"web": None, "books": 10}
    found = plan({"web": Reads(2.0), "books": Reads(1.0)}, held, None)
    assert found.total is None
    assert found.taken["web"] == Taken(None, 2 / 3, None)
    found = plan({"web": Reads(1.0), "books": Reads(1.0)}, held, 100)
    assert found.taken == {"web": Taken(50, 0.5, None), "books": Taken(50, 0.5, 5.0)}
    found = plan({"web": Reads(1.0, {"epochs": 2.0}), "books": Reads(1.0)}, held, 100)
    assert found.taken == {"web": Taken(None, None, None), "books": Taken(None, None, None)}


def test_a_component_without_tokens_or_weight_takes_nothing() -> None:
    found = plan({"w.en": Reads(1.0), "w.de": Reads(0.0)}, {"w.en": 50, "w.de": 0}, None)
    assert found.taken == {"w.en": Taken(50, 1.0, 1.0), "w.de": Taken(0, 0.0, None)}


def test_weights_that_are_not_known_yet_are_not_made_up() -> None:
    unknown = Reads(1.0, is_known=False)
    found = plan(
        {"de": unknown, "en": unknown, "books": Reads(1.0, {"tokens": 9})}, {"de": 5, "en": None, "books": 9}, 90
    )
    assert found.taken == {"de": Taken(None, None, None), "en": Taken(None, None, None), "books": Taken(9, 0.1, 1.0)}
    found = plan({"de": unknown, "en": unknown}, {"de": 5, "en": None}, None)
    assert found.taken == dict.fromkeys(["de", "en"], Taken(None, None, None))


def test_groups_of_weight_0_are_told() -> None:
    found = plan(
        {"w.en": Reads(1.0), "w.other": Reads(0.0), "code": Reads(0.0)}, {"w.en": 9, "w.other": 7, "code": 5}, 9
    )
    sources = {"w.en": "w", "w.other": "w", "code": "code"}
    assert too_often(found, KEY, False, sources) == ["7 tokens have weight 0 and are not read, of w.other"]


def test_budgets_beyond_the_run_are_told() -> None:
    found = plan({"web": Reads(1.0, {"epochs": 3.0}), "books": Reads(1.0)}, {"web": 50, "books": 9}, 100)
    assert found.excess == 50 and found.taken["books"].tokens == 0
    assert too_often(found, KEY, True) == [
        "the budgets exceed the 100 tokens of mix.tokens by about 50: lower them, or make the run longer"
    ]


@given(st.lists(st.floats(0.01, 9), min_size=1, max_size=5), st.integers(1, 10**9))
def test_all_tokens_of_a_run_come_from_somewhere(weights: list[float], total: int) -> None:
    reads = {str(number): Reads(weight) for number, weight in enumerate(weights)}
    taken = plan(reads, dict.fromkeys(reads, 7), total).taken
    assert sum(each.tokens or 0 for each in taken.values()) == total
    assert all(abs((each.tokens or 0) - total * reads[name].weight / sum(weights)) <= 1 for name, each in taken.items())


@pytest.mark.parametrize(
    ("reads", "total", "message"),
    [
        (
            {"web": Reads(3.0, {"epochs": 2.0})},
            None,
            r"^corpus\.sources\.web\.weight: 3 beside corpus\.sources\.web\.budget=\{epochs: 2\}, .*leave one",
        ),
        (
            {"web": Reads(1.0, {"tokens": 80}), "books": Reads(1.0, {"tokens": 30}), "code": Reads(1.0)},
            100,
            r"^mix\.tokens: the budgets take web 80 \+ books 30 = 110 tokens, the run has 100: they exceed it; .*=110",
        ),
        (
            {"web": Reads(1.0, {"tokens": 80})},
            100,
            r"^mix\.tokens: the budgets take web 80 = 80 tokens, the run has 100: they don't fill it; .*=null",
        ),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_met_is_refused(reads: dict[str, Reads], total: int | None, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        check_plan(reads, total, KEY)


def test_plans_that_can_be_met_pass() -> None:
    check_plan({"web": Reads(1.0, {"tokens": 80}), "books": Reads(2.0)}, 100, KEY)
    check_plan({"web": Reads(1.0, {"tokens": 80}), "books": Reads(1.0, {"epochs": 2.0})}, 100, KEY)
    check_plan({"web": Reads(1.0, {"tokens": 80}), "books": Reads(1.0, {"tokens": 20})}, 100, KEY)
    check_plan({"web": Reads(3.0)}, None, KEY)


def test_estimates_are_of_names_and_sizes() -> None:
    files = [("a.jsonl", 1000), ("b.jsonl.ZST", 1000), ("c.warc.gz", 1000), ("d.parquet", 1000)]
    found = estimate(files)
    assert (found.num_files, found.input_bytes, found.text_bytes) == (4, 4000, 970 + 3500 + 400 + 2500)
    assert found.tokens == round(7370 / 4)
    assert estimate(files, 0.1).text_bytes == 737
    assert estimate(files, {"bytes": 500}).text_bytes == 500 and estimate(files, {"bytes": 1e9}).text_bytes == 7370
    assert estimate([("a", 5), ("b", None)]).tokens is None
    assert estimate([("a", 100), ("b", 0)]) == Estimate(2, 100, 97)  # an empty file is no unknown one
    assert estimate([("a", 0)]).tokens == 0
    assert estimate([]).tokens is None
