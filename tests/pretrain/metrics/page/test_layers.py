from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from foundation.page import Page
from pretrain.metrics.page.layers import add_layers, read_layers


def test_figures_of_layers_are_read_whatever_else_a_line_holds(tmp_path: Path) -> None:
    lines = [
        {"step": 1, "layers": {"a": {"grad_norm": 1.0}, "b": {"grad_norm": "NaN", "entropy": 2}}, "logits": {"x": 1}},
        {"step": 1, "projections": {"token_embeddings": {}}},
        {"step": 3, "layers": {"b": {"grad_norm": 0.5}, "c": {"new": 4.0}}},
        {"layers": {"a": {"grad_norm": 9.0}}},
    ]
    path = tmp_path / "watch.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4, "layers"')
    found = read_layers(path)
    assert found.steps.tolist() == [1, 3] and found.layers == ["a", "b", "c"]
    nan = math.nan
    expected = {"grad_norm": [[1, nan], [math.inf, 0.5], [nan, nan]], "entropy": [[nan, nan], [2, nan], [nan, nan]]}
    for name, values in expected.items():
        np.testing.assert_array_equal(found.figures[name], values)
    np.testing.assert_array_equal(found.whole["x"], [1, nan])
    np.testing.assert_array_equal(found.figures["new"], [[nan, nan], [nan, nan], [nan, 4]])


def test_a_figure_has_a_map_of_the_layers_that_have_it(tmp_path: Path, parse_page: Callable[[str], Any]) -> None:
    line = {"step": 1, "layers": {"a": {"grad_norm": 1.0, "mine": 1.0}, "b": {"grad_norm": 2.0}}}
    (tmp_path / "watch.jsonl").write_text(json.dumps(line) + "\n")
    page = Page("title")
    add_layers(page, read_layers(tmp_path / "watch.jsonl"))
    maps = [json.loads(tag["data-heat"]) for tag in parse_page(page.html()).of("figure") if "data-heat" in tag]
    assert [(each["rows"], each["values"]) for each in maps] == [(["a", "b"], ["1", "2"]), (["a"], ["1"])]


def test_without_the_file_there_is_no_section(tmp_path: Path) -> None:
    page = Page("title")
    add_layers(page, read_layers(tmp_path / "watch.jsonl"))
    assert "<section" not in page.html()
