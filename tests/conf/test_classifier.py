"""The config of the classifier's training, and the rules that use what it trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from data_pipeline.classifier.train import check_config as check_training
from data_pipeline.clean.classifier import Classifier
from data_pipeline.pipeline import check_config as check_pipeline
from data_pipeline.sources.source import Corpus
from foundation.config import Node, build
from foundation.config.compose import plain
from foundation.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf"


def composed(root: str, *overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(compose(root, list(overrides)))


@pytest.mark.parametrize("option", sorted(path.stem for path in (CONF / "corpus").glob("*.yaml")))
def test_examples_come_from_any_source(option: str) -> None:
    typed = [f"corpus@good={option}", "name=x", "bad.paths=some.jsonl"]
    tree = composed("classifier", *typed)
    typed += [f"good.{key}=x" for key, value in tree["good"].items() if value == "???"]
    arguments = check_training(composed("classifier", *typed), typed)
    assert arguments["labelled"] is None and isinstance(arguments["good"], Node)
    corpus = build(arguments["good"])
    assert isinstance(corpus, Corpus)
    assert option == "several" or corpus.sources()[0].name == "good"


def test_what_is_typed_of_examples_must_be_whole() -> None:
    for typed in (["good.text_key=x"], ["corpus@good=text"], ["+good.sources=x"]):
        with pytest.raises(ConfigError, match=r"^good\."):
            check_training(composed("classifier", "name=x", *[each for each in typed if each[0] != "+"]), typed)


@pytest.mark.parametrize(("option", "reason"), [("classifier", "low_quality"), ("toxic", "toxic")])
def test_a_rule_is_added_last(option: str, reason: str) -> None:
    key = "clean.rules.mine"
    typed = [f"+clean/rules@{key}={option}", f"{key}.model=some.safetensors", f"{key}.least=0.4", "name=x"]
    tree = composed("pipeline", *typed)
    assert list(tree["clean"]["rules"])[-1] == "mine"
    rule = build(check_pipeline(tree)["clean"])
    assert (rule.limits[-1].least, rule.limits[-1].below) == (0.4, reason)
    parameters = {"_target_", *Classifier.__init__.__annotations__} - {"return"}
    assert set(tree["clean"]["rules"]["mine"]) == parameters
    with pytest.raises(ConfigError, match=r"^clean\.rules\.mine\.model: needs a value"):
        check_pipeline(composed("pipeline", *typed[:1], "name=x"))
