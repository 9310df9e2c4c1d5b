"""Every key of the training has a rule; the longest one that fits decides."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from foundation.config.compose import plain
from pretrain.checkpoint.changes import leaves
from pretrain.checkpoint.rules import OF_SOURCES, RULES, SOURCES, UNKNOWN, Class, covers, rule_of

CONF = Path(__file__).parents[3] / "conf"
OPTIONS = sorted(f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml"))
GROUPS = {line.split(":")[0].strip(" -") for line in (CONF / "train.yaml").read_text().splitlines() if "  - " in line}


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.partition("=")[0] in GROUPS])
def test_every_key_of_the_training_has_a_rule(option: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        keys = leaves(plain(compose("train", [option.replace("=nan", "='nan'")])))  # nan would be read as a number
    without = [key for key in keys if rule_of(key) is UNKNOWN]
    assert len(keys) > 40
    assert not without, f"say in pretrain/checkpoint/rules.py whether a run may go on with another {without}"


def test_the_longest_rule_decides() -> None:
    assert rule_of("model.num_layers").kind is rule_of("model").kind is Class.REFUSED
    assert rule_of("model.dropout").kind is Class.ASKS
    assert rule_of("data.path").kind is Class.FREE
    assert rule_of("data.paths") is rule_of("datas") is UNKNOWN
    assert UNKNOWN.kind is Class.ASKS  # nobody has said that it may differ


def test_what_follows_from_other_settings_names_them() -> None:
    for name in ("web", "a.b"):
        assert rule_of(f"{SOURCES}.{name}.samples_of_a_block").then.startswith("it follows from data.mixture: ")
        told = rule_of(f"{SOURCES}.{name}.samples_of_the_run")
        assert told.kind is Class.REFUSED and "from data.mixture and the length" in told.then
        assert rule_of(f"{SOURCES}.{name}.samples_per_epoch") is RULES[SOURCES]
    assert rule_of("optim.samples_of_the_run") is RULES["optim"]


def test_a_rule_that_lets_no_one_go_on_says_why() -> None:
    assert all(
        rule.then for rule in (*RULES.values(), *OF_SOURCES.values()) if rule.kind in (Class.REFUSED, Class.ASKS)
    )


def test_an_entry_of_allow_change_covers_a_key_or_a_group() -> None:
    assert covers("optim", "optim.lr") and covers("optim.lr", "optim.lr")
    assert not covers("optim.l", "optim.lr") and not covers("opt", "optim.lr") and not covers("optim.lr", "optim")
