"""What a page says that is to be typed means for shell and Hydra what it says."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from foundation.overrides import entry_line, list_line, number_line

LETTERS = "a Z9_-./\\'\"$(){}[]:=,\t\n#é中truenull"


def typed(line: str) -> Any:
    """Return the value that a line of the shell sets."""
    (word,) = shlex.split(line)
    override = OverridesParser.create().parse_override(word)
    assert override.key_or_group == "clean.rules.a"
    return override.value()


@given(st.lists(st.text(LETTERS, max_size=8) | st.sampled_from(["true", "NULL", "1", "nan", "1e5", ""]), max_size=3))
def test_a_list_is_read_as_the_names_that_it_holds(names: list[str]) -> None:
    assert typed(list_line("clean.rules.a", names)) == names


@given(st.text(LETTERS, min_size=1, max_size=8))
def test_an_entry_is_read_as_its_name_or_there_is_no_line(name: str) -> None:
    line = entry_line("clean.rules.a", name)
    if line:
        assert line.count("{}") == 1
        assert typed(line.replace("{}", "0.5")) == {name: 0.5}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("en", "'clean.rules.a={en:{}}'"),
        ("Simplified Chinese, old", "'clean.rules.a={Simplified Chinese\\, old:{}}'"),
        ("a:b{}", "'clean.rules.a={a\\:b\\{\\}:{}}'"),
        ("Français", ""),
        ("it's", ""),
        ("12", ""),
        ("true", ""),
    ],
)
def test_what_hydra_can_read_has_a_line(name: str, line: str) -> None:
    assert entry_line("clean.rules.a", name) == line


def test_plain_names_have_no_quotes() -> None:
    assert list_line("clean.rules.a", ["en", "zh-TW"]) == "'clean.rules.a=[en,zh-TW]'"
    assert list_line("clean.rules.a", ["Simplified Chinese, old"]).count("Simplified Chinese, old") == 1
    assert number_line("clean.rules.a") == "clean.rules.a={}" and number_line("a b") == "'a b={}'"
