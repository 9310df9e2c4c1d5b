"""One value against one type hint: what is taken and as what, what is refused and by which key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from foundation.config.check import check_node
from foundation.config.values import Context, convert, describe
from foundation.errors import ConfigError

CONTEXT = Context(allowed=(), derived={}, runtime=frozenset(), keys=(), check_node=check_node)


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3, int, 3),
        (3, float, 3.0),
        (float("inf"), float, float("inf")),
        (True, bool, True),
        ("a/b", Path, Path("a/b")),
        (None, int | None, None),
        (3, int | float, 3),  # an int stays one where it may
        (3.0, int | float, 3.0),
        (3, float | int, 3),
        (3, float | None, 3.0),
        ("x", int | str, "x"),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([1, 2], tuple[int, float], (1, 2.0)),
        ([1, 2], list[float], [1.0, 2.0]),
        ([], list[int], []),
        ("one", list[str], ["one"]),
        ("one", tuple[str, ...], ("one",)),
        ({"a": 1}, dict[str, float], {"a": 1.0}),
        ({"a": ["b"]}, dict[str, list[str]], {"a": ["b"]}),
        (1, Literal[1, "all"], 1),
        (len, Callable[..., Any], len),
        ({"any": [1]}, Any, {"any": [1]}),
    ],
)
def test_what_fits_arrives_as_the_hint_says(value: Any, hint: Any, expected: Any) -> None:
    found = convert(value, hint, "k", CONTEXT)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.bad_input(50)
@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        (True, int, r"^k: True \(bool\) is not an integer$"),
        (True, float, "^k: True .* is not a number"),
        (1, bool, "^k: 1 .* is not true or false"),
        (1.5, int, "^k: 1.5 .* is not an integer$"),
        ("1", int, "^k: '1' .* is not an integer; such as 3$"),
        ("50k", int, "^k: '50k' .* is not an integer; write 50000$"),
        ("1.5M", int | None, "^k: '1.5M' .* is not an integer; write 1500000$"),
        (1e6, int, "^k: 1000000.0 .* is not an integer; write 1000000$"),
        (float("nan"), float, "^k: NaN"),
        (float("nan"), float | None, "^k: NaN"),
        (None, int, r"^k: None \(NoneType\) is not an integer"),
        (None, int | str, "^k: None .* is not an integer or text"),
        (True, int | float, "^k: True .* is not an integer or a number"),
        ("x", int | None, "^k: 'x' .* is not an integer"),
        (True, Literal[1, "all"], r"^k: True \(bool\) is not one of 1, 'all'"),
        ("al", Literal[1, "all"], "did you mean 'all'"),
        (["a", 1], list[str], r"^k\.1: 1 .* is not text"),
        ([1, "b"], tuple[int, ...], r"^k\.1: 'b' .* is not an integer"),
        ([1], tuple[int, int], "^k: 1 values, .* needs 2$"),
        ([1, 2, 3], tuple[int, int], "^k: 3 values, .* needs 2$"),
        ("12", tuple[int, int], "^k: '12' .* is not a list of an integer, an integer"),
        (3, list[int], "^k: 3 .* is not a list of an integer"),
        ({"a": "x"}, dict[str, int], r"^k\.a: 'x' .* is not an integer"),
        ({1: 2}, dict[str, int], "^k: the key 1 is a int, not text"),
        ([1], dict[str, int], r"^k: \[1\] .* is not a mapping of names to an integer"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_key(value: Any, hint: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        convert(value, hint, "k", CONTEXT)


def test_the_example_of_a_number_is_the_default_where_it_is_one() -> None:
    for hint in (int, int | None):
        with pytest.raises(ConfigError, match=r"is not an integer; such as 16384, without quotes$"):
            convert("many", hint, "k", CONTEXT, 16384)
    for no_number in (None, True, 0.5):
        with pytest.raises(ConfigError, match=r"is not an integer; such as 3$"):
            convert("many", int, "k", CONTEXT, no_number)


def test_a_long_value_is_shown_in_short() -> None:
    with pytest.raises(ConfigError) as caught:
        convert("x" * 1000, int, "k", CONTEXT)
    assert len(str(caught.value)) < 150


def test_hints_are_described_in_words() -> None:
    hint = dict[str, tuple[int, ...] | None]
    assert describe(hint) == "a mapping of names to a list of an integer or null"


@pytest.mark.parametrize("hint", [int, float, int | None])
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**400])
def test_a_whole_number_that_no_64_bits_hold_is_refused_by_key(value: int, hint: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"^seed: -?\d+(\.\.\.)? is beyond 64 bits; give a number from -2\^63 to 2\^63 - 1$"
    ):
        convert(value, hint, "seed", CONTEXT)
    assert convert(2**63 - 1, int, "seed", CONTEXT) == 2**63 - 1


@pytest.mark.parametrize("typed", ["gpt4", "GPT-4", "llama3", "cl100k_base", "o200"])
def test_a_value_by_its_name_elsewhere_is_told(typed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        convert(typed, Literal["gpt2", "cl100k"], "tokenizer.split", CONTEXT)
    meant = "" if typed == "o200" else ", did you mean 'cl100k'?"
    assert str(caught.value) == f"tokenizer.split: {typed!r} (str) is not one of 'gpt2', 'cl100k'{meant}"
