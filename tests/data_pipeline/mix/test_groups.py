"""Groups: their names are fit for files, their fields are found, the small ones are joined."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.mix.groups import MAX_CHARS, check_number, components, group_name, read_groups
from data_pipeline.sources.inputs import NAME
from foundation.errors import SettingError

VALUES = st.one_of(st.text(), st.integers(), st.floats(allow_nan=False), st.booleans(), st.none(), st.lists(st.text()))


@given(VALUES)
def test_a_group_s_name_can_be_part_of_a_source_s(value: Any) -> None:
    name = group_name(value)
    assert NAME.fullmatch(f"web.{name}") and len(name) <= MAX_CHARS and name == name.lower()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("en", "en"),
        ("zh-Hans", "zh-hans"),
        ("www.Example.com", "www.example.com"),
        ("PubMed Central", "pubmed-central"),
        ("  PubMed \t central", "pubmed-central"),
        ("C", "c"),
        (3, "3"),
        (True, "true"),
        (None, "unknown"),
        ("", "unknown"),
        (" ", "unknown"),
        (["en"], "unknown"),
        ({"a": 1}, "unknown"),
    ],
)
def test_names(value: Any, name: str) -> None:
    assert group_name(value) == name


def test_values_without_a_letter_of_ours_and_long_ones_stay_apart() -> None:
    assert group_name("日本") != group_name("中国")
    assert group_name("a" * 200 + "b") != group_name("a" * 200 + "c")


def test_values_that_differ_in_more_than_case_and_spaces_are_groups_apart() -> None:
    for values in (["C", "C++", "C#", "F", "F#"], ["français", "fran-ais", "fran ais?"], ["a b", "a+b", "-a-b"]):
        names = [group_name(value) for value in values]
        assert len(set(names)) == len(values), names
        assert all(NAME.fullmatch(f"web.{name}") for name in names)
    assert re.fullmatch("c-[0-9a-f]{8}", group_name("C++"))
    assert group_name("C++") == group_name("c++") == group_name(" c++ ")
    assert group_name("Ç" * 200) == group_name("ç" * 200)


def test_fields_are_found_by_their_key_and_inside_of_others() -> None:
    records = [
        {"language": "en", "meta": {"pile_set_name": "Github"}, "meta.x": "own"},
        {"meta": {"pile_set_name": "ArXiv", "x": "inner"}},
        {"meta": "no object", "language": None},
    ]
    metadata = [json.dumps(record) for record in records]

    def found(field: str) -> list[str]:
        names, places = read_groups(metadata, field)
        assert names == sorted(names)
        return [names[place] for place in places]

    assert found("language") == ["en", "unknown", "unknown"]
    assert found("meta.pile_set_name") == ["github", "arxiv", "unknown"]
    assert found("meta.x") == ["own", "inner", "unknown"]


def test_too_many_components_are_refused_with_what_joins_them() -> None:
    web = {f"site{n}": 100 for n in range(150)} | {f"page{n}": 1 for n in range(900)}
    check_number(200, {"web": web}, [])
    with pytest.raises(
        SettingError, match=r"^mix\.group_by: 1,050 groups .* at most 200 .* mix\.min_group_frac=0\.0001"
    ):
        check_number(1050, {"web": web}, [])
    with pytest.raises(SettingError, match=r"name fewer groups in mix\.group_weights$"):
        check_number(1050, {"web": web}, ["site1"])
    assert len(set(components("web", web, 0.0001, []).values())) == 151


def test_small_groups_are_joined_unless_they_are_named() -> None:
    sizes = {"en": 900, "de": 95, "fr": 5, "unknown": 0}
    assert components("web", sizes, 0.01, []) == {
        "en": "web.en", "de": "web.de", "fr": "web.other", "unknown": "web.other",
    }  # fmt: skip
    assert components("web", sizes, 0.0, [])["fr"] == "web.fr"
    assert components("web", sizes, 0.01, ["fr"]) == {
        "en": "web.other", "de": "web.other", "fr": "web.fr", "unknown": "web.other",
    }  # fmt: skip
    assert components("books", {"unknown": 7}, 0.5, []) == {"unknown": "books"}
    assert components("books", {"de": 7}, 0.5, []) == {"de": "books.de"}
