"""The line that a finished training says to type: it leads back to the model, wherever that lies."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from data_pipeline.classifier.result import Result
from data_pipeline.classifier.summary import as_typed, reason_of, use_of, warnings
from data_pipeline.clean.classifier import probabilities
from data_pipeline.clean.linear_model import read_model
from tests.data_pipeline.classifier.conftest import BAD, GOOD, texts_of

RESILIPARSE = "data_pipeline.clean.html_engines.Resiliparse"


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


@pytest.mark.parametrize(
    ("labels", "option", "reason"),
    [
        (["toxic", "toxic", "rude"], "toxic", None),
        (["rude", "toxic", "rude"], "classifier", "rude"),
        (["1", "2", "true"], "classifier", None),
    ],
)
def test_documents_go_for_what_the_bad_examples_are_labelled(
    labels: list[str], option: str, reason: str | None, config: Callable[..., dict[str, Any]],
    go: Callable[[dict[str, Any]], Result], write: Callable[..., Path], tmp_path: Path,
) -> None:  # fmt: skip
    bad = [{"text": text, "reason": labels[n % len(labels)]} for n, text in enumerate(texts_of(BAD, 30, 1))]
    good = [{"text": text, "reason": None} for text in texts_of(GOOD, 30, 2)]
    path = write(tmp_path / "a.jsonl", good + bad)
    result = go(config(tmp_path / "toxic_ones", labelled=[path]))
    use = parsed(use_of(result))
    assert use["clean/rules"] == option and use.get("clean.rules.toxic_ones.reason") == reason
    assert reason_of(result) == (reason or ("toxic" if option == "toxic" else "low_quality"))


def test_a_class_that_alone_is_html_is_warned_of_and_html_is_taken_out_where_that_is_asked(
    config: Callable[..., dict[str, Any]], go: Callable[[dict[str, Any]], Result], write: Callable[..., Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    good = write(tmp_path / "in" / "good.jsonl", texts_of(GOOD, 60, 1))
    pages = [f"<!doctype html><html><body><p>{text}</p></body></html>" for text in texts_of(BAD, 60, 2)]
    bad = write(tmp_path / "in" / "bad.jsonl", pages)
    result = go(config(tmp_path / "raw", good=[good], bad=[bad]))
    assert result.examples.markup == [0, 60]
    (told,) = [line for line in warnings(result) if "HTML" in line]
    assert told.startswith("0% of the good examples and 100% of the bad ones begin as HTML: ") and "clean=html" in told
    html = {"_target_": "data_pipeline.clean.html.Html", "engine": {"_target_": RESILIPARSE}}
    cleaned = go(config(tmp_path / "cleaned", good=[good], bad=[bad], clean=html))
    assert cleaned.examples.markup == [0, 0] and not [line for line in warnings(cleaned) if "HTML" in line]
    page = read_model(result.path), read_model(cleaned.path)
    texts = pa.array(texts_of(BAD, 20, 3), pa.large_string())
    raw, clean = (float(probabilities(model, texts).mean()) for model in page)
    assert clean < 0.3 and clean < raw
