from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.dedup.bands import Clusters
from data_pipeline.dedup.clusters import keep_order
from data_pipeline.dedup.exact import exact_duplicates
from data_pipeline.dedup.keep import KeepOrder, NoKeepValue
from data_pipeline.stages.preference import num_without
from foundation.errors import ConfigError, SettingError


def metadata(*fields: dict[str, Any]) -> pa.LargeStringArray:
    return pa.array([json.dumps(each) for each in fields], pa.large_string())


def test_the_newest_comes_first_whatever_its_zone() -> None:
    dates = ["2024-05-31", "2024-05-31T12:00:00+13:00", "2024-05-31T01:00:00Z", "20230101"]
    values = KeepOrder("newest", "date").values(metadata(*({"date": date} for date in dates)))
    assert np.argsort(values).tolist() == [2, 0, 1, 3]


@pytest.mark.parametrize("keep", ["newest", "oldest", "score"])
def test_a_document_without_the_field_comes_last(keep: Any) -> None:
    years = [{"date": 2020}, {}, {"date": -1}, {"date": None}, {"date": 2024}]
    values = KeepOrder(keep, "date").values(metadata(*years))
    order = [2, 0, 4] if keep == "oldest" else [4, 0, 2]
    assert np.argsort(values, kind="stable").tolist() == [*order, 1, 3]
    assert num_without(values) == 2


def test_the_highest_score_comes_first() -> None:
    values = KeepOrder("score", "q").values(metadata({"q": 0.5}, {"q": 2}, {"q": -1}))
    assert np.argsort(values).tolist() == [1, 0, 2]


def test_sources_come_in_the_order_given() -> None:
    values = KeepOrder("source", sources=["books", "web"]).values_of_sources(["web", "books", "web"])
    assert values is not None and values.tolist() == [1, 0, 1]
    assert KeepOrder("newest", "date").values_of_sources(["web"]) is None


def test_an_order_of_sources_has_all_of_the_corpus() -> None:
    order = KeepOrder("source", sources=["book", "web", "old"])
    order.check_sources(["web", "old", "book"])
    for names, message in (
        (["web", "book"], "'old' is no source of this corpus; name each of the corpus's: web, book"),
        (
            ["web", "books", "old"],
            "source 'books' of the corpus is not in ['book', 'web', 'old']; 'book' is no source of this corpus, did "
            "you mean 'books'?; name each of the corpus's: web, books, old",
        ),
    ):
        with pytest.raises(ConfigError, match=f"^dedup.keep_sources: {re.escape(message)}$"):
            order.check_sources(names)
    KeepOrder("longest").check_sources(["web", "books"])


@pytest.mark.parametrize(
    ("keep", "fields", "found"),
    [
        ("oldest", {"date": ""}, "'' is not a number or a date such as 2024-05-31"),
        ("newest", {"date": "31 May 2024"}, "'31 May 2024' is not a number or a date such as 2024-05-31"),
        ("score", {"date": "2024-05-31"}, "'2024-05-31' is not a number"),
        ("score", {"date": True}, "True is not a number"),
    ],
)
def test_a_document_that_says_what_cannot_be_used_is_named(keep: Any, fields: dict[str, Any], found: str) -> None:
    with pytest.raises(NoKeepValue, match=found) as error:
        KeepOrder(keep, "date").values(metadata({"date": 5}, fields))
    assert error.value.position == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": "newest"}, "keep_field: None, and keep=newest goes by it"),
        ({"keep": "source"}, "keep_sources: None, and keep=source goes by it"),
        ({"keep": "first", "field": "date"}, "keep_field: 'date', but keep=first does not look at it"),
        ({"keep": "score", "field": "q", "sources": ["a"]}, "keep_sources: .*does not look at it"),
        ({"keep": "source", "sources": ["a", "b", "a"]}, "keep_sources: .* names a source twice"),
        ({"keep": "oldest"}, "keep_field: None, and keep=oldest goes by it"),
        ({"keep": "best"}, "keep: .*best.*one of longest, first, newest, oldest, score, source"),
    ],
)
def test_what_keep_needs_and_nothing_else_is_set(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=f"^{message}"):
        KeepOrder(**arguments)


def test_preference_then_length_then_place_decide() -> None:
    found = Clusters(np.array([1, 2, 3, 5, 6]), np.array([1, 1, 1, 5, 1]))
    lengths = np.array([0, 7, 9, 9, 0, 1, 50])
    preference = np.array([0, 0, 0, 0, 0, 0, 1.0])
    assert keep_order(found, lengths[found.documents], preference).documents.tolist() == [2, 3, 1, 6, 5]
    assert keep_order(found, lengths[found.documents]).documents.tolist() == [6, 2, 3, 1, 5]
    assert keep_order(found, None).documents.tolist() == [1, 2, 3, 6, 5]


def test_of_equal_documents_the_preferred_stays() -> None:
    hashes = np.array([[1, 1], [2, 2], [1, 1], [1, 1], [2, 3]], np.uint64)
    assert [each.tolist() for each in exact_duplicates(hashes)] == [[2, 3], [0, 0]]
    preference = np.array([3.0, 0, 1, 1, 0])
    assert [each.tolist() for each in exact_duplicates(hashes, preference)] == [[0, 3], [2, 2]]
