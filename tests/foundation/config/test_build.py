"""Nodes become objects wherever they stand, with the runtime objects that they name, untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundation.config import Node, build, check
from foundation.errors import ConfigError


class Part:
    def __init__(self, rate: float, run_dir: Path) -> None:
        self.rate, self.run_dir = rate, run_dir


class Whole:
    def __init__(self, named: dict[str, Part], listed: list[Part], deep: dict[str, list[Part]]) -> None:
        self.named, self.listed, self.deep = named, listed, deep


def make_part(rate: float, run_dir: Path) -> Part:
    return Part(2 * rate, run_dir)


def make_number(rate: float) -> int:
    return int(rate)


def app(whole: Node[Whole]) -> None:
    """A schema with nested nodes."""


def part_app(part: Node[Part]) -> None:
    """A schema with one seat."""


HANDED = {"run_dir", "mesh"}
ALLOWED = (f"{__name__}.",)


def node(name: str, **values: Any) -> dict[str, Any]:
    return {"_target_": f"{__name__}.{name}", **values}


def test_nodes_are_built_wherever_they_stand() -> None:
    parts = [node("Part", rate=rate) for rate in (1, 2, 3, 4)]
    tree = {"whole": node("Whole", named={"a": parts[0]}, listed=parts[1:3], deep={"b": parts[3:]})}
    run_dir = Path("somewhere")
    whole = build(check(tree, app, ALLOWED, runtime=HANDED)["whole"], run_dir=run_dir)
    built = [whole.named["a"], *whole.listed, *whole.deep["b"]]
    assert [(type(part), part.rate) for part in built] == [(Part, rate) for rate in (1.0, 2.0, 3.0, 4.0)]
    assert all(part.run_dir is run_dir for part in built)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rat": 2}, r"^whole\.deep\.b\.0\.rat: unknown key, did you mean 'whole\.deep\.b\.0\.rate'"),
        ({"mesh": 2}, r"^whole\.deep\.b\.0\.mesh: is given at run time"),
        ({"rate": "fast"}, r"^whole\.deep\.b\.0\.rate: 'fast' \(str\) is not a number"),
    ],
)
def test_a_mistake_is_named_however_deep_it_stands(change: dict[str, Any], message: str) -> None:
    deep = {"b": [node("Part", **{"rate": 1, **change})]}
    with pytest.raises(ConfigError, match=message):
        check({"whole": node("Whole", named={}, listed=[], deep=deep)}, app, ALLOWED, runtime=HANDED)


def test_a_function_fits_the_seat_of_what_it_returns() -> None:
    part = check({"part": node("make_part", rate=3)}, part_app, ALLOWED, runtime=HANDED)["part"]
    assert build(part, run_dir=Path()).rate == 6.0
    with pytest.raises(ConfigError, match=r"part\._target_: .*make_number' is not a .*Part"):
        check({"part": node("make_number", rate=3)}, part_app, ALLOWED, runtime=HANDED)


def test_a_parameter_that_nobody_will_hand_over_is_a_missing_key() -> None:
    with pytest.raises(ConfigError, match=r"^part\.run_dir: missing; set part\.run_dir=$"):
        check({"part": node("Part", rate=3)}, part_app, ALLOWED, runtime={"mesh"})
