from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundation.page import Page
from pretrain.metrics.page.points import MAX_LOOKS, add_points


def line(step: int, split: str = "val", sequence: int = 0) -> dict[str, Any]:
    probability = step / 1000
    return {
        "step": step,
        "split": split,
        "sequence": sequence,
        "inputs": ["def", " f", "\n"],
        "targets": [" f", "<b>(", None],
        "predictions": [" g", "<b>(", "x"],
        "target_probs": [probability, 1e-5, None],
        "prediction_probs": [0.5, 0.25, 0.125],
        "kinds": ["target", "target", "padded"],
    }


def test_a_row_a_token_and_the_looks_of_the_whole_run(tmp_path: Path, parse_page: Callable[[str], Any]) -> None:
    steps = range(0, 1001, 50)
    lines = [line(step, split) for step in steps for split in ("val", "train")]
    (tmp_path / "points.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    page = Page("title")
    add_points(page, tmp_path / "points.jsonl")
    parsed = parse_page(page.html())
    assert [text for text in parsed.texts if text.endswith(", sequence 0")] == [
        "train, sequence 0",
        "val, sequence 0",
    ]
    head, first, second, third = parsed.tables[1]
    looks = [f"step {step:,}" for step in (0, 200, 400, 600, 800, 1000)]
    assert head == ["token", "target", *looks, "likeliest now", "its probability"] and len(looks) == MAX_LOOKS
    assert first == ["def", "·f", "0e+00", "0.200", "0.400", "0.600", "0.800", "1.000", "·g", "0.500"]
    assert second[:3] == ["·f", "<b>(", "1e-05"] and third == ["⏎", "padded", *["–"] * 6, "x", "0.125"]
    shades = [float(tag["style"].partition(":")[2]) for tag in parsed.of("span") if tag.get("class") == "shade"]
    assert len(shades) == 2 * (6 + 1 + 6 + 1 + 1)
    assert shades[:6] == sorted(shades[:6]) and (shades[0], shades[5]) == (0.0, 1.0)


def test_without_the_file_there_is_no_section(tmp_path: Path) -> None:
    page = Page("title")
    add_points(page, tmp_path / "points.jsonl")
    assert "<section" not in page.html()
