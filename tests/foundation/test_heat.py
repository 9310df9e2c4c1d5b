from __future__ import annotations

import base64
import json
import math
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.page import Page
from foundation.page.heat import ABSENT, BROKEN, MAX_COLUMNS, NUM_COLORS, palette, png, shrunk
from tests.browser import drive, find_browser

VALUES = st.floats(-5, 5) | st.sampled_from([math.nan, math.inf, -math.inf])


def pixels(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The places and the palette of a PNG, read by its specification; every chunk has its sum."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        content = data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + content)
        chunks[kind], at = content, at + 12 + length
    width, height, depth, kind_of_color = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, kind_of_color) == (8, 3)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    return lines[:, 1:], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)


def picture(page: Page) -> tuple[np.ndarray, np.ndarray]:
    (found,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page.html())
    return pixels(base64.b64decode(found))


@given(st.lists(st.lists(VALUES, min_size=13, max_size=13), min_size=1, max_size=3), st.integers(1, 15))
def test_a_column_shows_the_highest_and_what_is_broken_before_all(values: list[list[float]], most: int) -> None:
    xs = np.arange(13.0)
    firsts, cells = shrunk(xs, np.array(values), most)
    size = math.ceil(13 / most)
    assert firsts.tolist() == list(range(0, 13, size))
    for row, shown in zip(values, cells, strict=True):
        for start, cell in zip(range(0, 13, size), shown, strict=True):
            there = [value for value in row[start : start + size] if not math.isnan(value)]
            if any(map(math.isinf, there)):
                assert cell == math.inf
            else:
                assert cell == max(there) if there else math.isnan(cell)


def test_the_picture_is_a_png_of_the_cells() -> None:
    places = np.arange(6, dtype=np.uint8).reshape(2, 3)
    found, colors = pixels(png(places))
    assert (found == places).all() and (colors == palette()).all()
    lightness = palette()[:NUM_COLORS] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) > -1).all() and lightness[-1] - lightness[0] > 150


def test_colors_are_logarithmic_over_decades_and_else_linear() -> None:
    for values, middle in (([1.0, 5.5, 10.0], 0.5), ([1.0, 10.0, 100.0], 0.5)):
        page = Page("title")
        page.heat_map("norm", ["a"], np.arange(3), np.array([values]), "step")
        (row,), _ = picture(page)
        assert row.tolist() == [0, int(middle * (NUM_COLORS - 1)), NUM_COLORS - 1]
    page = Page("title")
    page.heat_map("norm", ["a"], np.arange(3), np.array([[math.nan, math.inf, 2.0]]), "step")
    (row,), _ = picture(page)
    assert row.tolist() == [ABSENT, BROKEN, 0]


def test_a_long_run_of_a_deep_model_is_a_small_page(parse_page: Callable[[str], Any]) -> None:
    values = np.random.default_rng(0).lognormal(size=(96, 100_000))
    page = Page("title")
    page.heat_map("<b>norm", [f"blocks.{place}" for place in range(96)], np.arange(100_000), values, "step")
    source = page.html()
    assert len(source) < 300_000
    found, _ = picture(page)
    assert found.shape[0] == 96 and found.shape[1] <= MAX_COLUMNS
    assert "<b>norm" in parse_page(source).texts


@pytest.mark.slow
def test_the_cell_under_the_pointer_is_told(tmp_path: Path) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("needs chromium to open the page (Debian: apt-get install chromium)")
    page = Page("title")
    page.heat_map("norm", ["first", "last"], np.array([1, 1000]), np.array([[1.0, 2.0], [3.0, np.nan]]), "step")
    point = """((x, y) => {
        const picture = document.querySelector(".heat img"), box = picture.getBoundingClientRect();
        picture.dispatchEvent(new PointerEvent("pointermove",
            { clientX: box.left + x * box.width, clientY: box.top + y * box.height }));
        return [picture.naturalWidth, document.querySelector(".heat output").textContent];
    })"""
    expressions = [f"{point}({json.dumps(x)}, {json.dumps(y)})" for x, y in ((0.1, 0.9), (0.9, 0.1), (0.9, 0.9))]
    values, errors = drive(browser, tmp_path / "home", page.write(tmp_path / "page.html"), expressions)
    assert errors == []
    assert values == [[2, "last, step 1: 3"], [2, "first, step 1,000: 2"], [2, "last, step 1,000: –"]]
