from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation.page import Page
from foundation.page.heat import ABSENT
from pretrain.metrics.page.histograms import KEY, MAX_LOOKS, NEAR_ZERO, add_histograms, near_zero, spread
from tests.foundation.test_heat import pixels

Shown = Callable[..., Any]
UP = 10.0 ** (np.arange(-12, 9) / 4)
EDGES = np.concatenate([-UP[::-1], UP])


def counted(values: np.ndarray) -> dict[str, Any]:
    counts, _ = np.histogram(values, EDGES)
    held = np.flatnonzero(counts)
    if not len(held):
        return {"edges": [], "counts": []}
    first, last = held[0], held[-1]
    edges = [float(f"{edge:.4g}") for edge in EDGES[first : last + 2]]
    return {"edges": edges, "counts": counts[first : last + 1].tolist()}


@pytest.fixture
def shown(tmp_path: Path, parse_page: Callable[[str], Any]) -> Shown:
    """Return the parsed page of some looks, and what it holds of histograms."""

    def show(looks: list[dict[str, Any]]) -> tuple[Any, Any, int]:
        (tmp_path / "watch.jsonl").write_text("".join(json.dumps(look) + "\n" for look in looks))
        page = Page("title")
        add_histograms(page, tmp_path / "watch.jsonl")
        source = page.html()
        parsed = parse_page(source)
        found = [json.loads(tag["data-heats"]) for tag in parsed.of("figure") if "data-heats" in tag]
        return parsed, found[0] if found else None, len(source)

    return show


def test_each_layer_has_its_map_and_a_kind_has_one_axis(shown: Shown) -> None:
    draw = np.random.default_rng(0)
    small, large = draw.normal(0, 0.02, 5000), draw.normal(0, 2.0, 5000)
    zeros = np.concatenate([np.zeros(2500), small[:2500]])
    looks: list[dict[str, Any]] = [
        {"step": 1, KEY: {"weights": {"a": counted(small), "b": counted(large)}, "gradients": {"a": counted(zeros)}}},
        {"step": 2, "layers": {"a": {"grad_norm": 1.0}}},
        {"step": 9, KEY: {"weights": {"a": counted(large)}, "gradients": {"a": {"edges": [], "counts": []}}}},
    ]
    parsed, data, _ = shown(looks)
    options = [text for text in parsed.texts if text.endswith((": a", ": b"))]
    assert options == ["Weights: a", "Weights: b", "Gradients, before clipping: a"] and data["xs"] == [1, 9]
    weights, gradients = ([pixels(base64.b64decode(png))[0] for at, png in data["maps"] if at == n] for n in (0, 1))
    rows = data["groups"][0]["rows"]
    assert all(picture.shape == (len(rows), 2) for picture in weights) and len(rows) < 40
    lowest = [float(row.split(" to ")[0]) for row in rows]
    assert lowest == sorted(lowest, reverse=True) and rows[0].startswith("5.6")  # the largest on top
    bright = [lowest[int(np.where(column == ABSENT, 0, column).argmax())] for column in weights[0].T]
    assert 0.01 <= abs(bright[0]) <= 0.06 and 1 <= abs(bright[1]) <= 6
    assert (weights[1][:, 1] == ABSENT).all() and (weights[1][:, 0] == weights[0][:, 1]).all()
    middle = int(np.where(gradients[0][:, 0] == ABSENT, 0, gradients[0][:, 0]).argmax())
    assert data["groups"][1]["rows"][middle].startswith("-") and " to 0.00" in data["groups"][1]["rows"][middle]
    assert data["groups"][1]["high"] >= 0.5


def test_the_share_of_each_bin_is_its_count_over_all() -> None:
    edges = np.array([-2.0, -1.0, 1.0, 2.0, 3.0])
    assert spread(edges, {"edges": [-1.0, 1.0, 2.0], "counts": [3, 1]}).tolist() == [0, 0.75, 0.25, 0]
    assert np.isnan(spread(edges, {"edges": [], "counts": []})).all()


def test_bins_around_zero_become_one_while_they_hold_next_to_nothing() -> None:
    edges = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
    for inner, expected in ((NEAR_ZERO / 3, (1, 4)), (NEAR_ZERO, (2, 3))):
        shares = np.array([0.1, inner, 0.5, inner, 0.4 - 2 * inner]).reshape(1, 5, 1)
        assert near_zero(edges, shares) == expected
    assert near_zero(np.array([1.0, 2.0]), np.ones((1, 1, 1))) == (0, 0)  # none lies around 0


@pytest.mark.parametrize("values", [np.full(9, 1.0), -np.full(9, 1.0), np.zeros(9)])
def test_values_of_one_sign_or_one_bin_are_drawn(shown: Shown, values: np.ndarray) -> None:
    _, data, _ = shown([{"step": 1, KEY: {"weights": {"norm": counted(values)}}}])
    assert len(data["groups"][0]["rows"]) == 1


def test_a_long_run_of_a_deep_model_makes_a_small_page_and_says_what_it_left_out(shown: Shown) -> None:
    draw = np.random.default_rng(1)
    layers = {f"blocks.{place}": counted(draw.normal(0, 0.02, 20_000)) for place in range(48)}
    looks = [{"step": step, KEY: {"weights": layers, "gradients": layers}} for step in range(1, 2 * MAX_LOOKS)]
    parsed, data, size = shown(looks)
    assert size < 700_000 and len(data["maps"]) == 96
    assert data["xs"][0] == 1 and data["xs"][-1] == 2 * MAX_LOOKS - 1
    told = f"Of {len(looks)} looks {len(data['xs'])} are shown, evenly spread; all are in watch.jsonl."
    assert told in parsed.texts


def test_without_a_value_there_is_no_section(shown: Shown) -> None:
    for looks in ([], [{"step": 1, KEY: {"gradients": {"a": {"edges": [], "counts": []}}}}], [{"step": 1, KEY: {}}]):
        parsed, data, _ = shown(looks)
        assert data is None and "section" not in {tag for tag, _ in parsed.tags}
