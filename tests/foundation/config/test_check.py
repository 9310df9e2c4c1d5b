"""check() and build(): what a user can get wrong in a config, each with the message that helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from foundation.config import Node, build, check
from foundation.config.check import refuse_resolvers
from foundation.errors import ConfigError, SettingError, require
from pretrain.seats import Optimizer, Schedule


class Shape:
    def __init__(self, size: tuple[int, int], names: list[str], mode: Literal["min", "max"] = "min") -> None:
        self.size, self.names, self.mode = size, names, mode


class Inheriting(Shape):
    """Has no constructor of its own."""


class Part:
    def __init__(self, rate: float, run_dir: Path) -> None:
        self.rate, self.run_dir = rate, run_dir


class Picky:
    def __init__(self, rate: float) -> None:
        require(rate > 0, "rate", rate, "a number above 0")


class Whole:
    def __init__(self, parts: dict[str, Part | Picky], limit: int | None = None) -> None:
        self.parts, self.limit = parts, limit


def app(shape: Node[Shape], seed: int, ratio: float = 1.0, note: str | None = None) -> None:
    """The schema of these tests."""


def whole_app(whole: Node[Whole]) -> None:
    """A schema with nested nodes."""


ALLOWED = (f"{__name__}.",)
SHAPE = {"_target_": f"{__name__}.Shape", "size": [2, 3], "names": ["a"]}


def checked(seed: Any = 1, **changes: Any) -> dict[str, Any]:
    shape = {**SHAPE, **changes.pop("shape", {})}
    return check({"shape": shape, "seed": seed, **changes}, app, ALLOWED, runtime={"run_dir"})


def test_a_list_becomes_the_tuple_that_the_signature_asks_for() -> None:
    shape = build(checked()["shape"])
    assert shape.size == (2, 3)
    assert type(shape.size) is tuple


def test_a_string_counts_as_a_list_of_one() -> None:
    assert build(checked(shape={"names": "only"})["shape"]).names == ["only"]


def test_a_constructor_that_a_class_inherits_is_its_schema() -> None:
    heir = {"_target_": f"{__name__}.Inheriting"}
    built = build(checked(shape={**heir, "names": "only"})["shape"])
    assert type(built) is Inheriting and (built.names, built.size) == (["only"], (2, 3))
    with pytest.raises(ConfigError, match=r"^shape\.mode: 'most' "):
        checked(shape={**heir, "mode": "most"})


def test_a_number_where_text_is_meant_is_answered_with_the_quotes_to_type() -> None:
    with pytest.raises(ConfigError, match=r"""^note: 2024 \(int\) is not text; .* '"2024"'$"""):
        checked(note=2024)


def test_an_integer_fits_a_float_and_arrives_as_one() -> None:
    ratio = checked(ratio=3)["ratio"]
    assert (ratio, type(ratio)) == (3.0, float)


@pytest.mark.bad_input(49, 50)
@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"sead": 2}, ["sead", "unknown", "did you mean 'seed'"]),
        ({"shape": {"siz": 1}}, ["shape.siz", "unknown", "did you mean 'shape.size'"]),
        ({"seed": "ten"}, ["seed", "'ten'", "an integer"]),
        ({"seed": True}, ["seed", "True", "an integer"]),
        ({"seed": 1.5}, ["seed", "1.5", "an integer"]),
        ({"seed": "???"}, ["seed", "needs a value", "seed="]),
        ({"ratio": "nan"}, ["ratio", "'nan'", "a number"]),
        ({"ratio": float("nan")}, ["ratio", "NaN"]),
        ({"ratio": "1e-3"}, ["ratio", "'1e-3'", "quotes"]),
        ({"note": 3}, ["note", "3", "text"]),
        ({"shape": {"size": [1, 2, 3]}}, ["shape.size", "3 values", "needs 2"]),
        ({"shape": {"size": [1, "b"]}}, ["shape.size.1", "'b'", "an integer"]),
        ({"shape": {"mode": "mix"}}, ["shape.mode", "'mix'", "'min', 'max'"]),
        ({"shape": {"_partial_": True}}, ["shape._partial_", "unknown"]),
        ({"shape": {"_args_": [1]}}, ["shape._args_", "unknown"]),
        ({"shape": {"run_dir": "x"}}, ["shape.run_dir", "run time"]),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_is_allowed(change: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        checked(**change)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.bad_input(50)
def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"shape\.names: missing; set shape\.names="):
        check({"shape": {"_target_": f"{__name__}.Shape", "size": [1, 2]}, "seed": 1}, app, ALLOWED)


def test_a_derived_key_names_what_to_set() -> None:
    tree = {"shape": {**SHAPE, "area": 6}, "seed": 1}
    with pytest.raises(ConfigError, match=r"shape\.area: is derived, never set; set shape\.size"):
        check(tree, app, ALLOWED, {"shape.area": "set shape.size"})


def test_nested_nodes_are_built_and_get_runtime_objects_untouched() -> None:
    part = {"_target_": f"{__name__}.Part", "rate": 1}
    tree = {"whole": {"_target_": f"{__name__}.Whole", "parts": {"a": part}}}
    config = check(tree, whole_app, ALLOWED, runtime={"run_dir"})
    run_dir = Path("somewhere")
    whole = build(config["whole"], run_dir=run_dir)
    assert whole.parts["a"].rate == 1.0
    assert whole.parts["a"].run_dir is run_dir


def test_a_value_that_a_constructor_refuses_is_named_by_its_full_key() -> None:
    part = {"_target_": f"{__name__}.Picky", "rate": 0}
    config = check({"whole": {"_target_": f"{__name__}.Whole", "parts": {"mine": part}}}, whole_app, ALLOWED)
    with pytest.raises(ConfigError) as caught:
        build(config["whole"])
    assert str(caught.value) == "whole.parts.mine.rate: 0.0 is not allowed; give a number above 0"
    with pytest.raises(SettingError, match=r"^rate: "):
        Picky(0)


@pytest.mark.parametrize(
    ("tree", "key"), [({"a": {"b": "${oc.env:HOME}"}}, "a.b"), ({"a": [1, {"b": "x${oc.env:HOME}"}]}, "a.1.b")]
)
def test_resolvers_are_refused_wherever_they_stand(tree: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: .* uses a resolver"):
        refuse_resolvers(tree)
    refuse_resolvers({"a": [{"b": "${c}"}], "c": 1})


def test_a_target_must_fit_its_seat() -> None:
    def seated(optim: Node[Optimizer]) -> None: ...

    node = {"_target_": "pretrain.plan.TrainerSettings", "seq_len": 1, "global_batch_size": 1, "micro_batch_size": 1}
    with pytest.raises(ConfigError, match=r"optim\._target_: .* is not a pretrain\.seats\.Optimizer"):
        check({"optim": node}, seated)


def test_a_node_without_a_seat_is_a_mistake_of_ours() -> None:
    def open_to_all(anything: Node[Any]) -> None: ...

    with pytest.raises(AssertionError, match="anything: its Node names no seat"):
        check({"anything": SHAPE}, open_to_all, ALLOWED)


def test_an_abstract_target_is_refused() -> None:
    def seated(schedule: Node[Schedule]) -> None: ...

    with pytest.raises(ConfigError, match="is abstract"):
        check({"schedule": {"_target_": "pretrain.seats.Schedule"}}, seated)
