from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from foundation.page import HeatGroup, Page
from foundation.page.heat import ABSENT, NUM_COLORS
from foundation.page.heat_choice import LEAST_SHARE
from tests.foundation.test_heat import pixels

SHARES = np.array([[0.5, 0.0], [LEAST_SHARE / 10, math.nan], [0.05, 0.5]])


def data_of(page: Page, parse_page: Callable[[str], Any]) -> Any:
    (found,) = [json.loads(tag["data-heats"]) for tag in parse_page(page.html()).of("figure") if "data-heats" in tag]
    return found


def places(text: str) -> np.ndarray:
    return pixels(base64.b64decode(text))[0]


def test_the_colour_gives_the_share_back(parse_page: Callable[[str], Any]) -> None:
    groups = [HeatGroup("a", ["x", "y", "z"], {"one": SHARES}), HeatGroup("b", ["x"], {"<i>": np.array([[0.1, 0.2]])})]
    page = Page("title")
    page.heat_choice("share", groups, np.array([1, 100]), "step")
    data = data_of(page, parse_page)
    assert data["xs"] == [1, 100] and [group["rows"] for group in data["groups"]] == [["x", "y", "z"], ["x"]]
    assert [group for group, _ in data["maps"]] == [0, 1] and data["groups"][0]["scale"] == ["0.0001%", "50%"]
    found = places(data["maps"][0][1])
    assert found[0].tolist() == [NUM_COLORS - 1, ABSENT] and found[1].tolist() == [0, ABSENT]
    read = data["low"] * (data["groups"][0]["high"] / data["low"]) ** (found[2, 0] / (NUM_COLORS - 1))
    assert abs(read / 0.05 - 1) < 0.12
    parsed = parse_page(page.html())
    assert [each["label"] for each in parsed.of("optgroup")] == ["a", "b"] and "b: <i>" in parsed.texts
    assert len(parsed.of("img")) == 1 and "canvas" in "".join(parsed.scripts)
