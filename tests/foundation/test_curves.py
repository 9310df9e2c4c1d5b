from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.page import Clock, Curve, Mark, Page
from foundation.page.curves import packed, packed_steps, smooth
from tests.browser import drive, find_browser

STEPS = np.arange(1, 1001)
LOSS = 3 + 7 * np.exp(-STEPS / 80)
SPIKE = 400  # the place of one value of 90
HOSTILE = "</div><script>document.title = 'run'</script>"
# what the chart of a number shows: its y labels, the points of its line, its x labels
SHOWN = """(number) => {
    const chart = document.querySelectorAll(".live")[number], texts = (kind) =>
        [...chart.querySelectorAll(`.plot .${kind}`)].map((each) => each.textContent);
    const pair = (each) => [each.getAttribute("class"), each.getAttribute("d")];
    const paths = [...chart.querySelectorAll("path")].map(pair);
    return [texts("y"), paths, texts("x"), chart.querySelector(".right").textContent];
}"""
DRAG = """(number, from, to) => {
    const plot = document.querySelectorAll(".live .plot")[number], box = plot.getBoundingClientRect();
    const send = (kind, share) => plot.dispatchEvent(new PointerEvent(kind,
        { bubbles: true, button: 0, clientX: box.left + share * box.width, clientY: box.top + 20 }));
    send("pointermove", from);
    if (from === to) return document.querySelectorAll(".live .told")[number].innerText;
    send("pointerdown", from); send("pointermove", to); send("pointerup", to);
}"""
PRESS = """(number, text) => [...document.querySelectorAll(".live")[number].querySelectorAll("button")]
    .find((each) => each.textContent === text).click()"""
SMOOTHING = """(value) => {
    const slider = document.querySelector(".curve-bar input");
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
    return document.querySelector(".curve-bar output").textContent;
}"""
OVER = """(place) => {
    const choice = document.querySelector(".curve-bar select");
    choice.value = place;
    choice.dispatchEvent(new Event("change"));
}"""


def page_of(*charts: tuple[list[Curve], dict[str, Any]]) -> Page:
    page = Page("title")
    page.section("curves")
    page.curve_bar([Clock(STEPS, {"tokens": STEPS * 1e6, "hours": STEPS / 100})])
    for them, settings in charts:
        page.curves(them, "step", "nats", **settings)
    return page


def loss() -> Curve:
    ys = LOSS.copy()
    ys[SPIKE] = 90.0
    return Curve("training", STEPS, ys)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Page, list[str]], list[Any]]:
    """Open a page in a browser, evaluate expressions in it; it has no errors."""
    browser = find_browser()
    if browser is None:
        pytest.skip("needs chromium to open the page (Debian: apt-get install chromium)")

    def opened(page: Page, expressions: list[str]) -> list[Any]:
        values, errors = drive(browser, tmp_path / "home", page.write(tmp_path / "page.html"), expressions)
        assert errors == []
        return values

    return opened


def call(function: str, *arguments: object) -> str:
    return f"({function})({', '.join(map(json.dumps, arguments))})"


def points(paths: list[list[str]], kind: str) -> np.ndarray:
    """(n, 2) places in the plot, 0 to 1000, of the first path of a class."""
    d = next(d for name, d in paths if name.split()[0] == kind)
    return np.array([float(each) for each in re.findall(r"-?[\d.]+", d)]).reshape(-1, 2)


@given(st.lists(st.integers(0, 10**9), max_size=50).map(sorted))
def test_packed_steps_are_the_distances(steps: list[int]) -> None:
    found, at = [], 0
    for each in packed_steps(np.array(steps, dtype=np.int64)).split():
        delta, _, times = each.partition("*")
        found += [at + n * int(delta) for n in range(1, int(times or 1) + 1)]
        at = found[-1]
    assert found == steps


def test_packed_values_keep_five_digits_and_mark_what_is_not_finite() -> None:
    assert packed(np.array([3.14159265, math.nan, math.inf, 1e-12, 0.0])) == "3.1416 - - 1e-12 0"


@given(st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), min_size=1, max_size=40), st.integers(1, 15))
def test_smoothing_is_the_mean_of_the_finite_neighbours(values: list[float], window: int) -> None:
    half = window // 2
    for place, mean in enumerate(smooth(np.array(values), window)):
        near = [v for v in values[max(0, place - half) : place + half + 1] if math.isfinite(v)]
        if near:
            assert mean == pytest.approx(sum(near) / len(near), abs=1e-6)
        else:
            assert math.isnan(mean)


def test_what_a_page_holds_is_data_and_no_markup(parse_page: Callable[[str], Any]) -> None:
    page = parse_page(page_of(([Curve(HOSTILE, STEPS, LOSS)], {"marks": [Mark(5, "skip", HOSTILE)]})).html())
    (data,) = [json.loads(tag["data-curves"]) for tag in page.of("div") if "data-curves" in tag]
    assert data["curves"][0]["name"] == HOSTILE and data["marks"] == [[5, 0, "skip", HOSTILE]]
    assert not page.of("title")[0] and html.escape(HOSTILE) not in page.texts


def test_a_million_steps_make_a_page_of_a_few_hundred_kilobytes() -> None:
    steps = np.arange(1, 1_000_001)
    ys = np.random.default_rng(0).normal(3, 0.1, 1_000_000)
    page = Page("title")
    page.curve_bar([Clock(steps, {"tokens": steps * 524288.0})])
    page.curves([Curve("training", steps, ys)], "step", "nats")
    assert len(page.html()) < 400_000


@pytest.mark.slow
def test_zoom_logarithm_smoothing_and_axis(opened: Callable[[Page, list[str]], list[Any]]) -> None:
    page = page_of(([loss()], {}), ([Curve("lr", STEPS, STEPS / 1000, exact=True)], {}))
    marked = call(SMOOTHING, 0)
    values = opened(
        page,
        [
            *(marked, call(SHOWN, 0)),
            *(call(DRAG, 1, 0.25, 0.75), call(SHOWN, 0), call(DRAG, 0, 0.5, 0.5)),
            *(call(PRESS, 0, "log"), call(SHOWN, 0)),
            *("document.querySelector('.curve-bar button').click()", call(SHOWN, 0)),
            *(call(OVER, 1), call(SHOWN, 0), call(SMOOTHING, 100), call(SHOWN, 0)),
        ],
    )
    said, whole, _, zoomed, told, _, logged, _, again, _, tokens, wide, smoothed = values
    assert (said, wide) == ("none", "20% of the run")
    drawn = points(whole[1], "line")
    assert len(drawn) == 1000 and drawn[0][0] == 0 and drawn[-1][0] == 1000
    assert drawn[SPIKE][1] == drawn[:, 1].min() < 60  # at the top: it is in sight
    # the other chart was dragged: all follow; step 250 to 750 are in sight, one more beyond each end
    near = points(zoomed[1], "line")
    assert len(near) in range(500, 504) and near[0][0] <= 0 and near[-1][0] >= 1000
    assert zoomed[2][0] == "300" and zoomed[2][-1] == "700"
    assert told.split() == ["step", "501", "training", f"{LOSS[500]:.5g}"]
    assert {"5", "10", "20", "50"} <= set(logged[0])  # what a logarithmic axis is labelled with
    assert len(points(again[1], "line")) == 1000
    assert tokens[3] == "tokens" and tokens[2][-1] == "1G"
    mean = points(smoothed[1], "line")
    assert len(points(smoothed[1], "thin")) == 1000 and np.ptp(mean[:, 1]) < np.ptp(drawn[:, 1])


@pytest.mark.slow
def test_what_happened_is_marked_told_and_can_be_hidden(opened: Callable[[Page, list[str]], list[Any]]) -> None:
    marks = [Mark(500, "rewind", "back to step 400"), Mark(900, "skip", "skipped: loss spike")]
    page = page_of(([loss()], {"marks": marks}))
    values = opened(page, [call(SHOWN, 0), call(DRAG, 0, 0.5, 0.5), call(PRESS, 0, "rewind"), call(SHOWN, 0)])
    first, told, _, second = values
    paths = dict(first[1])
    assert paths["rewind"].startswith("M499") and paths["skip"].startswith("M899")
    assert "back to step 400" in told and "skipped" not in told
    assert dict(second[1])["rewind"] == ""
    assert page.html().count("<h3>") == 0


@pytest.mark.parametrize("width", [1100, 660])
def test_the_switches_stand_in_the_first_row_at_the_right_however_many_curves_there_are(
    opened: Callable[[Page, list[str]], list[Any]], width: int
) -> None:
    names = ["waiting for data", "counts of all ranks", "forward and backward", "looking into steps", "optimizer"]
    many = [Curve(name, STEPS, LOSS) for name in [*names, "other", *(f"source {place}" for place in range(6))]]
    places = """[...document.querySelectorAll(".live figcaption")].map((each) => {
        const box = (kind) => each.querySelector(kind).getBoundingClientRect(), switches = box(".switches");
        const rest = each.getBoundingClientRect().right - switches.right;
        const keys = [...each.querySelectorAll(".key-button")].map((key) => key.getBoundingClientRect());
        return [switches.bottom > box(".unit").top && switches.top < box(".unit").bottom, Math.abs(rest) < 1,
            keys.every((key) => key.right <= switches.left && key.left >= box(".unit").right)];
    })"""
    page = page_of((many[:6], {}), (many, {}), (many[:1], {}))
    _, found = opened(page, [f"document.body.style.width = '{width}px'", places])
    assert found == 3 * [[True, True, True]]
