"""An unknown key: what it may have meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from foundation.config.compose import plain
from foundation.config.suggest import OTHER_NAMES, SHOWN, keys_of, suggest

CONF = Path(__file__).parents[3] / "conf"
KEYS = ["seed", "optim.lr", "eval.seed", "mix.seed", "a.every", "b.every", "c.every", "d.every"]


@pytest.fixture(scope="module")
def training() -> list[str]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return list(keys_of(plain(compose("train"))))


@pytest.mark.parametrize(
    ("full", "allowed", "expected"),
    [
        ("lr", ["logger", "seed"], ", did you mean 'optim.lr'?"),
        ("optim.lrs", ["eps"], ", did you mean 'optim.lr'?"),
        ("seeed", ["seed"], ", did you mean 'seed'?"),
        ("data.seed", ["path"], ", did you mean 'seed' or 'eval.seed' or 'mix.seed'?"),
        ("every", ["seed"], ""),  # four keys end so: no suggestion is better than four
        ("unlike", ["seed"], ""),
        ("learning_rate", ["seed"], ", did you mean 'optim.lr'?"),
        ("n_layer", ["seed"], ""),  # this config has no such key
    ],
)
def test_the_key_that_may_be_meant(full: str, allowed: list[str], expected: str) -> None:
    assert suggest(full, allowed, [*KEYS, full]) == expected


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_another_trainers_name_leads_to_keys_that_the_training_has(name: str, training: list[str]) -> None:
    for meant in OTHER_NAMES[name]:
        assert [key for key in training if f".{key}".endswith(f".{meant}")], f"no key of the training ends in {meant}"
    found = suggest(name, [], training)
    assert 0 < found.count("'") // 2 <= SHOWN


def test_the_keys_of_a_tree_are_those_of_its_values() -> None:
    assert list(keys_of({"a": 1, "b": {"c": [{"d": 1}], "e": {}}})) == ["a", "b.c"]
