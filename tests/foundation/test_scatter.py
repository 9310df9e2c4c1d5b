from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from foundation.page import Cloud, Page
from foundation.page.scatter import DIGITS, SIDE, Frame

HOSTILE = "</svg><script>alert(1)</script>"


def place(text: str) -> int:
    return DIGITS.index(text[0]) * 36 + DIGITS.index(text[1])


def test_a_frame_holds_all_points_and_both_axes_have_one_scale() -> None:
    xy = np.random.default_rng(3).normal(size=(50, 2)) * [3.0, 0.5] + [20.0, 2.0]
    frame = Frame.of(xy)
    found = frame.places(xy)
    assert found.min() > 0 and found.max() < SIDE
    for one, other in ((0, 1), (10, 40)):  # a place is a distance: to its rounding
        expected = SIDE * np.abs(xy[one] - xy[other]) / (2 * frame.half)
        assert np.abs(np.abs(found[one] - found[other]) - expected).max() <= 1
    assert (np.argsort(found[:, 1])[::-1][0] == np.argmin(xy[:, 1])) and frame.origin == (0, place_of_zero(frame))
    nothing = Frame.of(np.full((2, 2), math.nan))
    assert nothing.places(np.array([[math.nan, 1.0], [0.0, 0.0]])).tolist() == [[-1, -1], [SIDE // 2, SIDE // 2]]
    assert Frame.of(np.ones((3, 2))).half > 0


def place_of_zero(frame: Frame) -> int:
    return int(min(max(round(SIDE * (0.5 + 0.5 * frame.y / frame.half)), 0), SIDE))


def test_the_page_holds_each_step_and_shows_the_last_without_scripts(parse_page: Callable[[str], Any]) -> None:
    xy = np.array([[[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]], [[0.0, 4.0], [math.nan, 1.0], [4.0, 0.0]]])
    cloud = Cloud("final states", ["a", HOSTILE, "·c"], [0, 2, 0], ["words", "digits", "signs"], [10, 20], xy)
    page = Page("title")
    page.clouds([cloud, Cloud("more", ["x"], [0], ["words"], [5], np.zeros((1, 1, 2)))], "step")
    html = page.html()
    parsed = parse_page(html)
    assert "<script>alert" not in html and "final states, step 20" in parsed.texts
    assert {"words", "signs"} <= set(parsed.texts) and "digits" not in parsed.texts
    paths = [tag["d"] for tag in parsed.of("path") if tag["class"].startswith("dots")]
    assert [path.count("M") for path in paths] == [2, 0, 0]
    (data,) = [json.loads(tag["data-clouds"]) for tag in parsed.of("figure") if "data-clouds" in tag]
    first, more = data["clouds"]
    assert (first["words"], first["kinds"], first["steps"]) == (["a", HOSTILE, "·c"], "020", [10, 20])
    assert first["looks"][1][4:8] == "----" and len(first["looks"][0]) == 12 and more["looks"] == ["dwdw"]
    assert place("dw") == SIDE // 2
    drawn = [place(first["looks"][1][at : at + 2]) for at in (0, 2, 8, 10)]
    assert drawn == [int(part) for part in paths[0].replace("M", " ").replace("h0", " ").split()]
    assert first["frames"][1][:2] == ["(-0.08, -0.08)", "(4.08, 4.08)"]


@pytest.mark.parametrize("count", [1, 1300])
def test_any_number_of_points_fits(count: int, parse_page: Callable[[str], Any]) -> None:
    page = Page("title")
    page.clouds([Cloud("a", ["w"] * count, [0] * count, ["k"], [1], np.ones((1, count, 2)))], "step")
    parse_page(page.html())
