"""The line that a finished training says to type: it leads back to the model, wherever that lies."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from data_pipeline.classifier.result import Result
from data_pipeline.classifier.summary import as_typed, use_of


def parsed(typed: str) -> dict[str, Any]:
    """Read words as a shell gives them to Hydra, and Hydra to OmegaConf."""
    overrides = OverridesParser.create().parse_overrides(shlex.split(typed))
    pairs = {each.key_or_group: each.value() for each in overrides}
    return dict(OmegaConf.to_container(OmegaConf.create(pairs), resolve=True))  # type: ignore[arg-type]


@given(st.text(st.characters(exclude_characters="$\n\r\0", exclude_categories=["Cs"]), max_size=12))
@example("a,b=c (1)/[x]{y}: 'it\\'s' \"z\\\\'")
@example("cost$5/${HOME}/x\\")
def test_a_path_of_any_name_comes_back_as_it_was(name: str) -> None:
    path = f"classifiers/{name}/model.safetensors"
    assert parsed(f"key={as_typed(path)}") == {"key": path}


@pytest.mark.parametrize("name", ["quality", "it's a,b=(1)", "1e3"])
def test_the_line_to_type_names_the_model(
    name: str, examples: Path, config: Callable[..., dict[str, Any]], go: Callable[[dict[str, Any]], Result],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    good, bad = (sorted(examples.glob(f"{kind}*")) for kind in ("good", "bad"))
    use = parsed(use_of(go(config(tmp_path / "models" / name, good=good, bad=bad))))
    label = name if name == "quality" else "quality"
    assert use[f"clean.rules.{label}.model"] == f"models/{name}/model.safetensors"
    assert use["clean/rules"] == "classifier" and use[f"clean.rules.{label}.score"] == label
