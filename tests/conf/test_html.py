"""The presets that read HTML are the default ones with one more rule before the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from foundation.config.compose import plain

CONF = Path(__file__).parents[2] / "conf"


def rules_of(option: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        rules: dict[str, Any] = plain(compose("pipeline", ["name=x", f"clean={option}"]))["clean"]["rules"]
    return rules


@pytest.mark.parametrize(("option", "engine"), [("html", "Resiliparse"), ("html_precise", "Trafilatura")])
def test_html_comes_first_and_the_others_are_the_default(option: str, engine: str) -> None:
    rules, default = rules_of(option), rules_of("default")
    assert list(rules) == ["html", *default]
    assert rules.pop("html")["engine"]["_target_"] == f"data_pipeline.clean.html_engines.{engine}"
    assert rules == default
