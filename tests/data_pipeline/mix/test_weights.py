"""Weights of groups: the published examples, and that a source's own share is what it was."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given as each
from hypothesis import strategies as st

from data_pipeline.mix.weights import Reads, given, mixture, reads_of, tempered, tempered_sources

TOKENS = st.dictionaries(st.sampled_from(["w.en", "w.de", "w.fr", "w.other"]), st.integers(0, 10**12), min_size=1)


def test_temperature_by_hand() -> None:
    tokens = {"w.en": 80, "w.de": 20}
    assert tempered(tokens, 1.0) == pytest.approx({"w.en": 0.8, "w.de": 0.2})
    assert tempered(tokens, 0.0) == {"w.en": 0.5, "w.de": 0.5}
    assert tempered(tokens, 0.5) == pytest.approx({"w.en": 2 / 3, "w.de": 1 / 3})


def test_the_example_of_multilingual_bert() -> None:
    """Devlin et al.: at 0.7, English, first sampled 1000 times more than Icelandic, is sampled 100 times more."""
    parts = tempered({"en": 1000, "is": 1}, 0.7)
    assert parts["en"] / parts["is"] == pytest.approx(1000**0.7) == pytest.approx(126, abs=1)


@each(TOKENS.filter(lambda tokens: any(tokens.values())), st.floats(0, 1), st.floats(0.01, 50))
def test_within_its_source_a_temperature_shares_out_what_the_source_has(
    tokens: dict[str, int], temperature: float, weight: float
) -> None:
    parts = tempered(tokens, temperature)
    assert sum(parts.values()) == pytest.approx(1)
    assert all((part == 0) == (tokens[name] == 0) for name, part in parts.items())
    found = reads_of(Reads(weight), parts, tokens)
    assert sum(reads.weight for reads in found.values()) == pytest.approx(weight)
    for name, count in tokens.items():  # small groups gain, and no group overtakes a larger one
        assert all(parts[name] >= parts[other] - 1e-12 for other in tokens if count >= tokens[other])


def test_budgets_of_groups_add_up_to_the_source_s() -> None:
    tokens = {"w.en": 900, "w.de": 100, "w.fr": 0}
    reads = reads_of(Reads(1.0, {"epochs": 2.0}), tempered(tokens, 1.0), tokens)
    assert reads == {"w.en": Reads(1.0, {"tokens": 1800.0}), "w.de": Reads(1.0, {"tokens": 200.0}), "w.fr": Reads(0.0)}
    reads = reads_of(Reads(1.0, {"tokens": 500.0}), tempered(tokens, 0.0), tokens)
    assert reads["w.en"] == reads["w.de"] == Reads(1.0, {"tokens": 250.0})


def test_weights_of_groups_are_within_their_source() -> None:
    tokens = {"pile.arxiv": 10, "pile.pubmed-central": 20, "pile.other": 5, "pile.github": 0}
    weights = {"ArXiv": 3.0, "PubMed Central": 1.0, "Github": 9.0}
    assert given("pile", tokens, weights) == {
        "pile.arxiv": 0.75, "pile.pubmed-central": 0.25, "pile.other": 0.0, "pile.github": 0.0,
    }  # fmt: skip
    assert given("pile", tokens, {"other": 1.0, "ArXiv": 1.0})["pile.other"] == 0.5
    assert given("pile", tokens, {"Enron Emails": 1.0, "PubMed Central": 0.0})["pile.arxiv"] == 0


def test_a_source_that_has_none_of_the_named_groups_is_read_as_a_whole_unless_other_has_a_weight() -> None:
    tokens = {"books.other": 7}
    assert given("books", tokens, {"Enron Emails": 1.0}) == {"books.other": 1.0}
    assert given("books", tokens, {"Enron Emails": 1.0, "other": 0.5}) == {"books.other": 1.0}
    assert given("books", tokens, {"Enron Emails": 1.0, "other": 0.0}) == {"books.other": 0.0}
    assert given("books", {"books.enron-emails": 0, "books.other": 7}, {"Enron Emails": 1.0})["books.other"] == 0.0


def test_sources_without_a_weight_of_their_own_share_by_temperature() -> None:
    of_sources = {"de": Reads(1.0), "en": Reads(1.0), "code": Reads(3.0), "books": Reads(1.0, {"epochs": 2.0})}
    tokens: dict[str, int | None] = {"de": 20, "en": 80, "code": 900, "books": 5}
    own = {"code": Reads(3.0), "books": Reads(1.0, {"epochs": 2.0})}
    halved = tempered_sources(of_sources, tokens, 0.5)
    assert halved == {"de": Reads(0.666666667), "en": Reads(1.33333333), **own}
    assert tempered_sources(of_sources, tokens, 1.0) == {"de": Reads(0.4), "en": Reads(1.6), **own}
    assert tempered_sources(of_sources, tokens, 0.0) == of_sources
    unknown = Reads(1.0, is_known=False)
    assert tempered_sources(of_sources, tokens | {"en": None}, 0.5) == {"de": unknown, "en": unknown, **own}


def test_components_without_tokens_have_no_part() -> None:
    assert tempered({"w.en": 0, "w.de": 0}, 0.5) == {"w.en": 0.0, "w.de": 0.0}


@each(TOKENS.filter(lambda tokens: any(tokens.values())), st.floats(1e-9, 1e9), st.floats(0, 1))
def test_budgets_of_groups_add_up_to_the_source_s_however_small(
    tokens: dict[str, int], amount: float, temperature: float
) -> None:
    found = reads_of(Reads(1.0, {"tokens": amount}), tempered(tokens, temperature), tokens)
    budgets = [reads.budget["tokens"] for reads in found.values() if reads.budget]
    assert sum(budgets) == max(1, math.floor(Fraction(amount) + Fraction(1, 2))) and min(budgets) >= 1


def test_sources_that_are_no_groups_keep_what_they_have() -> None:
    of_sources = {"web": Reads(3.0), "books": Reads(1.0, {"epochs": 2.0})}
    sources = {"books": "books", "web.de": "web", "web.en": "web"}
    tokens = {"books": 10, "web.de": 20, "web.en": 80}
    found = mixture(of_sources, tokens, sources, 1.0)
    assert found == {"books": Reads(1.0, {"epochs": 2.0}), "web.de": Reads(0.6), "web.en": Reads(2.4)}
