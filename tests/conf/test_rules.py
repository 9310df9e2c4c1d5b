"""The rules that can be added to any set of rules: built, in their place, explained, and as the sets have them."""

from __future__ import annotations

import copy
import functools
import itertools
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from data_pipeline.clean.rules import Rule
from data_pipeline.pipeline import check_config
from data_pipeline.report.reasons import REASONS, meaning_of
from data_pipeline.unreadable import WORDS
from foundation.config import build
from foundation.config.compose import plain

CONF = Path(__file__).parents[2] / "conf"
ADDED = sorted(path.stem for path in (CONF / "clean" / "rules").glob("*.yaml"))
SETS = sorted(path.stem for path in (CONF / "clean").glob("*.yaml"))
MODELS = ("classifier", "toxic")  # they need a file
PLACED = "clean/rules@clean.rules.repair=repair"
OF_SETS = [
    *(
        (option, "everything")
        for option in ("invisible", "homoglyphs", "emoji", "blobs", "symbol_lines", "boilerplate")
    ),
    *((option, "everything") for option in ("repair", "spelling", "homographs")),
    *((option, "safety") for option in ("language", "pii", "toxicity", "bias")),
    *((option, "web") for option in ("length", "repetition", "gopher", "c4", "fineweb", "html")),
    ("code", "code"),
]


def composed(*overrides: str) -> dict[str, Any]:
    return copy.deepcopy(composed_once(*overrides))


@functools.cache
def composed_once(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(compose("pipeline", ["name=x", *overrides]))


def typed(option: str) -> list[str]:
    if option == "repair":
        return [PLACED]
    model = ["clean.rules.mine.model=some.safetensors"] if option in MODELS else []
    return [f"+clean/rules@clean.rules.mine={option}", *model]


def built(*overrides: str) -> Rule:
    rule = build(check_config(composed(*overrides))["clean"])
    assert isinstance(rule, Rule)
    return rule


@pytest.mark.parametrize("option", ADDED)
def test_a_rule_is_added_behind_the_others(option: str) -> None:
    built("clean=bare", *typed(option))
    labels = list(composed("clean=safety", *typed(option))["clean"]["rules"])
    assert labels[0 if option == "repair" else -1] == ("repair" if option == "repair" else "mine")


def test_web_pages_take_languages_toxicity_and_repair_each_in_its_place() -> None:
    more = [f"+clean/rules@clean.rules.{option}={option}" for option in ("language", "toxicity")]
    values = ["clean.rules.language.languages=[en]", "clean.rules.toxicity.max_frac=0.045"]
    tree = composed("recipe=web", "corpus.paths=[a.jsonl]", PLACED, *more, *values)
    labels = list(tree["clean"]["rules"])
    assert labels[:3] == ["html", "repair", "unicode"] and labels[-2:] == ["language", "toxicity"]
    assert tree["clean"]["rules"]["language"]["languages"] == ["en"]
    check_config(tree)


@pytest.mark.parametrize("option", [each for each in SETS if each not in ("none", "everything")])
def test_repair_comes_before_all_rules_but_html(option: str) -> None:
    labels = [label for label in composed(f"clean={option}", PLACED)["clean"]["rules"] if label != "html"]
    assert labels[0] == "repair"


@pytest.mark.parametrize(("option", "of"), OF_SETS)
def test_an_added_rule_has_the_settings_that_it_has_in_a_set(option: str, of: str) -> None:
    mine = composed("clean=bare", *typed(option))["clean"]["rules"]["repair" if option == "repair" else "mine"]
    assert mine == composed(f"clean={of}")["clean"]["rules"][option]


@pytest.mark.parametrize("option", ADDED)
def test_every_key_is_explained(option: str) -> None:
    lines = (CONF / "clean" / "rules" / f"{option}.yaml").read_text().splitlines()
    assert option.startswith("html") or any(f"={option}" in line for line in lines), "the line to type"
    for above, line in itertools.pairwise(lines):
        is_told = line.lstrip().startswith(("#", "_target_", "engine:")) or above.lstrip().startswith("#")
        assert is_told or line.partition(":")[0] in AS_ABOVE, line


# keys that one comment explains together
AS_ABOVE = (
    "restore_byte_a0", "replace_lossy_sequences", "decode_inconsistent_utf8", "fix_c1_controls", "remove_control_chars",
    "fix_character_width", "uncurl_quotes", "language", "domain", "iban", "card", "ip", "phone",
)  # fmt: skip


def reasons_of(rule: Rule) -> set[str]:
    sides = {side for limit in rule.limits for side in (limit.below, limit.above) if side}
    return sides | {choice.reason for choice in rule.choices}


def test_every_reason_of_our_rules_and_stages_is_explained_and_no_other() -> None:
    rules = [built(f"clean={option}") for option in SETS] + [built("clean=bare", *typed(each)) for each in ADDED]
    rules.append(built("clean=web", "clean.rules.c4.bad_words=[darn]", "clean.rules.html.min_text_ratio=0.1"))
    given = {reason for rule in rules for reason in reasons_of(rule)}
    stages = {"exact_duplicate", "near_duplicate", "contaminated", "sampled_out", "cut out of documents that stay"}
    assert given | stages == set(REASONS)
    assert all(REASONS.values()) and meaning_of("json") == WORDS["json"] and meaning_of("lorem") == ""
