from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundation.page import Page
from foundation.page.charts import NUM_COLORS
from pretrain.metrics.page.history import read_history
from pretrain.metrics.page.learning import add_evaluations


def test_every_source_s_curve_of_every_split_is_shown(
    tmp_path: Path, make_line: Callable[..., dict[str, Any]], parse_page: Callable[[str], Any]
) -> None:
    splits = ("val_", "train_subset_", "val_all_")
    names = [f"{split}perplexity{source}" for split in splits for source in ("", "/a", "/b", "/c")]
    path = tmp_path / "metrics.jsonl"
    lines = [make_line(step, **dict.fromkeys(names, 10.0 / step)) for step in (10, 20)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    page, history = Page("title"), read_history(path)
    add_evaluations(page, history, history.evaluated_names())
    figures = [json.loads(tag["data-curves"]) for tag in parse_page(page.html()).of("div") if "data-curves" in tag]
    shown = [curve["name"] for figure in figures for curve in figure["curves"]]
    labels = ("validation", "training subset", "all held-out")
    expected = [f"{label}{source}" for label in labels for source in ("", ", a", ", b", ", c")]
    assert sorted(shown) == sorted(expected) and len(figures) == -(-len(expected) // NUM_COLORS)
