from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation.page import Page
from pretrain.metrics.page.projections import KEY, KINDS, MAX_LOOKS, MAX_POINTS, add_projections, aligned, kind_of

Shown = Callable[..., Any]


@pytest.fixture
def shown(tmp_path: Path, parse_page: Callable[[str], Any]) -> Shown:
    def show(looks: list[dict[str, Any]]) -> tuple[Any, Any, int]:
        (tmp_path / "watch.jsonl").write_text("".join(json.dumps(look) + "\n" for look in looks))
        page = Page("title")
        add_projections(page, tmp_path / "watch.jsonl")
        source = page.html()
        parsed = parse_page(source)
        found = [json.loads(tag["data-clouds"]) for tag in parsed.of("figure") if "data-clouds" in tag]
        return parsed, found[0]["clouds"] if found else None, len(source)

    return show


def test_each_kind_is_a_cloud_with_the_words_of_its_tokens(shown: Shown) -> None:
    points = {"tokens": ["def", " f", "\n"], "xy": [[0, 1], [2, 3], ["NaN", "NaN"]]}
    looks = [{"step": step, KEY: {"token_embeddings": points}} for step in (1, 50)]
    looks[1][KEY] = looks[1][KEY] | {"mine": {"tokens": ["7"], "xy": [[1.0, 2.0]]}}
    _, clouds, _ = shown(looks)
    assert [(cloud["name"], cloud["steps"]) for cloud in clouds] == [("token embeddings", [1, 50]), ("mine", [50])]
    assert clouds[0]["words"] == ["def", "·f", "⏎"] and clouds[0]["kinds"] == "103"
    assert all(look[8:] == "----" for look in clouds[0]["looks"])


def test_looks_at_other_tokens_are_not_among_them(shown: Shown) -> None:
    sets = (["a", "b"], ["c", "d"], ["c", "d"])
    looks = [{"step": n, KEY: {"x": {"tokens": s, "xy": [[n, 0], [0, n]]}}} for n, s in enumerate(sets, start=1)]
    parsed, clouds, _ = shown(looks)
    assert clouds[0]["steps"] == [2, 3] and clouds[0]["words"] == ["c", "d"]
    assert "Of 3 looks 2 are shown; all are in watch.jsonl." in parsed.texts


def test_a_look_that_has_no_token_of_a_kind_is_not_among_them(shown: Shown) -> None:
    sets = (["a", "b"], ["a", "b"], [])
    looks = [
        {"step": n, KEY: {"x": {"tokens": s, "xy": [[n, 0], [0, n]][: len(s)]}, "y": {"tokens": ["c"], "xy": [[n, 1]]}}}
        for n, s in enumerate(sets, start=1)
    ]
    _, clouds, _ = shown(looks)
    assert [(cloud["name"], cloud["steps"]) for cloud in clouds] == [("x", [1, 2]), ("y", [1, 2, 3])]


def test_points_turn_as_near_as_can_be_to_where_they_were() -> None:
    """No angle, mirrored or not, brings them nearer; distances stay."""
    draw = np.random.default_rng(5)
    before = draw.normal(size=(40, 2)) * [3, 1]
    for mirror in (1.0, -1.0):
        turn = rotation(2.1) * [1.0, mirror]
        xy = before @ turn + draw.normal(scale=0.2, size=(40, 2))
        found = aligned(xy, before)
        off = np.square(found - before).sum()
        assert off < np.square(xy - before).sum()
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(xy, axis=1))
        tried = [xy @ (rotation(angle) * [1.0, side]) for angle in np.linspace(0, 2 * math.pi, 721) for side in (1, -1)]
        assert off <= min(np.square(each - before).sum() for each in tried) + 1e-9
    broken = np.full((40, 2), np.nan)
    assert aligned(before, broken) is before and aligned(broken, before) is broken


def rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


@pytest.mark.parametrize(
    ("token", "kind"),
    [(" def", 0), ("def", 1), (" 12", 2), ("7a", 2), ("\n", 3), ("    ", 3), (" (", 4), ("<|endoftext|>", 4), ("é", 1)],
)
def test_a_token_s_kind_is_that_of_its_first_sign(token: str, kind: int) -> None:
    assert kind_of(token) == kind < len(KINDS)


def test_a_long_run_makes_a_small_page_and_says_what_it_left_out(shown: Shown) -> None:
    draw = np.random.default_rng(2)
    count = 2 * MAX_POINTS - 7
    looks = [
        {
            "step": step,
            KEY: {"x": {"tokens": [f"t{n}" for n in range(count)], "xy": draw.normal(size=(count, 2)).tolist()}},
        }
        for step in range(1, MAX_LOOKS + 20)
    ]
    parsed, clouds, size = shown(looks)
    assert size < 300_000 and len(clouds[0]["words"]) <= MAX_POINTS
    assert clouds[0]["steps"][0] == 1 and clouds[0]["steps"][-1] == MAX_LOOKS + 19
    told = f"Of {len(looks)} looks {len(clouds[0]['steps'])} are shown; all are in watch.jsonl."
    assert told in parsed.texts


def test_without_the_file_there_is_no_section(shown: Shown) -> None:
    assert shown([])[1] is None
