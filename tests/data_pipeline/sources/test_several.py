from __future__ import annotations

import pytest

from data_pipeline.sources.several import Several
from data_pipeline.sources.synthetic import Synthetic
from data_pipeline.sources.text import Text
from foundation.errors import ConfigError


def test_sources_come_by_name_whatever_the_order_of_the_keys() -> None:
    web, books = Text(["x"], source="web"), Synthetic(source="books")
    for sources in ({"a": web, "b": books}, {"b": books, "a": web}):
        assert Several(sources).sources() == [books, web]


@pytest.mark.parametrize("other", ["web", "WEB"])
def test_two_sources_of_one_name_are_refused(other: str) -> None:
    with pytest.raises(ConfigError, match=r"corpus\.sources\.b\.source: .* is the name of corpus\.sources\.a too"):
        Several({"a": Text(["x"], source="web"), "b": Text(["y"], source=other)})


def test_no_source_is_refused_with_an_example() -> None:
    with pytest.raises(ConfigError, match=r"corpus\.sources: empty.*\+corpus\.sources\.web="):
        Several({})
