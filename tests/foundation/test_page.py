from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.page import Bar, Line, Page, Pair, Sample, number
from foundation.page.page import POLICY
from foundation.page.scale import linear_axis, log_axis, short

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;</style></pre></section>\x1b[31m\x00\u202e\ud800"
)
FINITE = st.floats(-1e12, 1e12, allow_nan=False)


def full_page(text: str) -> Page:
    """A page on which `text` stands in every place that takes one."""
    page = Page(text, text)
    page.section(text)
    page.heading(text)
    page.text(text)
    page.facts({text: text, "number": 12_345})
    page.table([text, "n"], [[text, 1], [text, None]])
    page.bars([Bar(text, 3, 1, text), Bar(text, 0)])
    page.lines([Line(text, [1, 2, 3], [1.0, math.nan, 3.0]), Line(text, [2], [2.0])], text, text, marks=[2], mark=text)
    page.histogram([1, 2, 4], [3, 5], text, text)
    page.samples([Sample(text, text, text)], open_first=True)
    page.histogram([1, 2, 4], [3, 5], text, text, [1, 0], [text, text])
    page.pairs([Pair(text, text, text, text, text, text + " more")])
    page.pairs([Pair(text, text, text, text, text, f"{text} and {text}", common=True)])
    return page


def path_points(source: str, kind: str) -> list[list[tuple[float, float]]]:
    """Return the points of each path of a class, from its SVG."""
    data = re.findall(rf'<path class="{kind} c\d" d="([^"]*)"', source)
    return [[(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)] for path in data]


def test_hostile_text_stays_text_wherever_it_stands(parse_page: Callable[[str], Any]) -> None:
    source = full_page(HOSTILE).html()
    parsed = parse_page(source)
    assert not parsed.of("img")
    assert "\x1b" not in source and "\x00" not in source and "\u202e" not in source
    assert parsed.text.count("<script>alert(1)</script>") >= 18
    assert "␛[31m␀⟨U+202E⟩⟨U+D800⟩" in parsed.text


@settings(max_examples=40)
@given(st.text(alphabet=st.characters(), max_size=80))
def test_any_text_gives_a_page_of_closed_tags(parse_page: Callable[[str], Any], text: str) -> None:
    source = full_page(text).html()
    source.encode()
    parse_page(source)


def test_the_policy_forbids_scripts_and_loads(parse_page: Callable[[str], Any]) -> None:
    parsed = parse_page(Page("t").html())
    policy = next(tag["content"] for tag in parsed.of("meta") if tag.get("http-equiv") == "Content-Security-Policy")
    assert policy.split("; ") == [
        "default-src 'none'", "style-src 'unsafe-inline'", "img-src data:", "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip


def test_the_head_links_to_each_section(parse_page: Callable[[str], Any]) -> None:
    page = Page("t")
    for title in ("one", "two"):
        page.section(title)
        page.text(f"about {title}")
    parsed = parse_page(page.html())
    assert [tag["href"] for tag in parsed.of("a")] == ["#s0", "#s1"]
    assert [tag["id"] for tag in parsed.of("section")] == ["s0", "s1"]


def test_a_table_holds_its_cells_and_sets_numbers_right(parse_page: Callable[[str], Any]) -> None:
    page = Page("t")
    page.section("s")
    page.table(["name", "count"], [["a", 1234567], ["b", None]])
    parsed = parse_page(page.html())
    assert parsed.tables == [[["name", "count"], ["a", "1,234,567"], ["b", "–"]]]
    assert [tag.get("class") for tag in parsed.of("td")] == [None, "n", None, "n"]


def test_bars_are_to_scale(parse_page: Callable[[str], Any]) -> None:
    page = Page("t")
    page.bars([Bar("all", 80, 20), Bar("some", 25)])
    widths = [tag["style"] for tag in parse_page(page.html()).of("i")]
    assert widths == ["width:80.000%", "width:20.000%", "width:25.000%"]


def test_a_histogram_stands_on_the_ground_and_is_to_scale() -> None:
    page = Page("t")
    page.histogram([1, 2, 4, 8], [5, 0, 10], "x", "y")
    rects = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/>', page.html())
    xs, tops, widths, heights = np.array(rects, np.float64).T
    np.testing.assert_allclose(heights, [500, 0, 1000], atol=0.1)
    np.testing.assert_allclose(tops + heights, 1000, atol=0.1)
    np.testing.assert_allclose(xs + widths / 2, [1000 / 6, 500, 5000 / 6], atol=0.1)


def test_a_histograms_edges_are_whole_and_so_are_its_counts() -> None:
    page = Page("t")
    page.histogram([1024, 2048, 16_384, 131_072, 1 << 20], [1, 0, 2, 1], "tokens", "documents")
    texts: dict[str, list[str]] = {"x": [], "x last": [], "y": []}
    for kind, text in re.findall(r'<span class="(x|x last|y)" style="[^"]*">([^<]*)<', page.html()):
        texts[kind].append(text)
    assert texts == {"x": ["1,024", "2,048", "16,384", "131k"], "x last": ["1.05M"], "y": ["0", "1", "2"]}


def test_what_stands_upon_a_bar_begins_where_it_ends() -> None:
    page = Page("t")
    page.histogram([0, 1, 2, 3], [5, 0, 2], "x", "y", [5, 4, 0], ["stayed", "removed"])
    rects = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/>', page.html())
    xs, tops, _, heights = np.array(rects, np.float64).T
    np.testing.assert_allclose(heights, [500, 0, 200, 500, 400, 0], atol=0.1)
    np.testing.assert_allclose(tops[3:] + heights[3:], tops[:3], atol=0.1)
    np.testing.assert_allclose(xs[3:], xs[:3])
    assert re.findall(r'<g class="hist (c\d)">', page.html()) == ["c0", "c1"]
    assert "0 to 1: stayed 5, removed 5" in page.html()


def test_points_without_a_line() -> None:
    page = Page("t")
    page.lines([Line("a", [0, 1], [0.0, 1.0]), Line("b", [0, 1], [1.0, 0.0], dots=True, joined=False)], "x", "y")
    assert len(path_points(page.html(), "line")) == 1
    assert len(path_points(page.html(), "dots")) == 1
    assert 'class="key c1 dot"' in page.html()


@pytest.mark.parametrize(
    ("left", "right", "marked"),
    [
        (
            "He said: WHO crossed, the old\nbridge? Nobody.",
            "Who crossed the old bridge",
            "WHO crossed, the old\nbridge",
        ),
        ("a b c x d e", "d e y a b c", "a b c"),  # two words in a row are chance
        ("x yes y", "Yes", "yes"),  # but all that there is of the other text
        ("nothing of it", "other words", None),
        ("", "other words", None),
    ],
)
def test_what_two_texts_have_in_common_is_marked(left: str, right: str, marked: str | None) -> None:
    page = Page("t")
    page.pairs([Pair("p", "", "one", left, "other", right, common=True)])
    assert '<div class="pair common">' in page.html()
    found = re.findall(r"<mark>([^<]*)</mark>", page.html())
    assert found[:1] == ([] if marked is None else [marked])
    assert len(found) == (0 if marked is None else 2)


def test_marks_stand_at_their_x() -> None:
    page = Page("t")
    page.lines([Line("a", [0, 10], [1.0, 2.0])], "x", "y", marks=[2, 10], mark="resumed")
    assert re.findall(r'class="mark" d="M([\d.]+) ', page.html()) == ["200.0", "1000.0"]
    assert "resumed" in page.html()


def test_a_line_lies_where_its_values_are_and_breaks_at_nan() -> None:
    page = Page("t")
    page.lines([Line("a", [0, 5, 6, 10], [0.0, 50.0, math.nan, 100.0])], "x", "y")
    (points,) = path_points(page.html(), "line")
    low, high = 0.0, 104.0  # 4 % of air above
    expected = [(x * 100, 1000 * (1 - (y - low) / (high - low))) for x, y in ((0, 0), (5, 50), (10, 100))]
    np.testing.assert_allclose(points, expected, atol=0.06)
    (path,) = re.findall(r'class="line c0" d="([^"]*)"', page.html())
    assert path.count("M") == 2


def test_a_long_line_is_thinned_but_keeps_its_spikes_and_ends() -> None:
    ys = np.sin(np.arange(200_000) / 5000)
    ys[123_456] = 9.0
    ys[54_321] = -7.0
    page = Page("t")
    page.lines([Line("a", np.arange(200_000), ys)], "x", "y")
    (points,) = path_points(page.html(), "line")
    assert len(points) <= 1600
    assert points[0][0] == 0.0 and points[-1][0] == 1000.0
    assert [x for x, y in points if y == min(y for _, y in points)] == [round(1000 * 123_456 / 199_999, 1)]
    assert [x for x, y in points if y == max(y for _, y in points)] == [round(1000 * 54_321 / 199_999, 1)]


def test_outliers_of_a_faint_line_do_not_flatten_the_rest() -> None:
    ys = np.linspace(10, 4, 1000)
    ys[500] = 1e6
    page = Page("t")
    page.lines([Line("raw", np.arange(1000), ys, faint=True), Line("mean", [0, 999], [10.0, 4.0])], "x", "y")
    (raw,) = path_points(page.html(), "faint")
    assert raw[500][1] == 0.0  # held at the edge
    assert max(y for _, y in raw) - sorted(y for _, y in raw)[1] > 800


def test_a_logarithmic_axis_leaves_out_what_it_cannot_show() -> None:
    page = Page("t")
    page.lines([Line("a", [0, 1, 2, 3], [1.0, 0.0, 10.0, 100.0])], "x", "y", log_y=True)
    (points,) = path_points(page.html(), "line")
    np.testing.assert_allclose([y for _, y in points], [1000, 500, 0], atol=0.06)


def test_nothing_to_draw_is_said() -> None:
    page = Page("t")
    page.lines([Line("a", [], []), Line("b", [1.0], [math.inf])], "x", "y")
    page.bars([])
    page.histogram([], [], "x", "y")
    assert page.html().count("Nothing to draw.") == 3


def test_hovering_tells_the_nearest_values(parse_page: Callable[[str], Any]) -> None:
    page = Page("t")
    page.lines([Line("a", range(121), range(0, 1210, 10)), Line("b", [60.0], [7.5])], "step", "y")
    texts = [text for text in parse_page(page.html()).texts if text.startswith("step ")]
    assert len(texts) == 120
    assert texts[0] == "step 0   a 0"
    assert texts[100] == "step 100   a 1,000"
    assert [text for text in texts if "b 7.5" in text] == ["step 59   a 590   b 7.5", "step 60   a 600   b 7.5"]


def test_pairs_mark_the_words_that_differ(parse_page: Callable[[str], Any]) -> None:
    page = Page("t")
    page.pairs([Pair("l", "", "removed", "the quick brown fox", "kept", "the quick red fox")])
    marked = re.findall(r"<mark>([^<]*)</mark>", page.html())
    assert marked == ["brown", "red"]


@given(FINITE, FINITE)
def test_ticks_are_few_round_and_inside(one: float, other: float) -> None:
    axis = linear_axis(min(one, other), max(one, other))
    assert 2 <= len(axis.ticks) <= 9
    assert axis.low < axis.high
    margin = 1e-6 * (axis.high - axis.low)
    assert all(axis.low - margin <= tick <= axis.high + margin for tick in axis.ticks)
    steps = np.diff(axis.ticks)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)


@given(st.floats(1e-9, 1e9), st.floats(1, 1e9))
def test_logarithmic_ticks_are_few_and_inside(low: float, ratio: float) -> None:
    axis = log_axis(low, low * ratio)
    assert len(axis.ticks) <= 7
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    if ratio >= 1000:
        assert all(re.fullmatch(r"[125]e[+-]\d+", f"{tick:.0e}") for tick in axis.ticks)
    if ratio >= 1.01:
        assert len(axis.ticks) >= 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "true"),
        (1234567, "1,234,567"),
        (1234.0, "1,234"),
        (12345.6, "12,346"),
        (3.14159, "3.142"),
        (0.000312, "0.000312"),
        (math.nan, "NaN"),
        (-math.inf, "-∞"),
    ],
)
def test_numbers_in_words(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(12_000, "12k"), (1.5e6, "1.5M"), (0.002, "0.002"), (3e-5, "3e-5"), (0, "0")]
)
def test_ticks_in_few_characters(value: float, text: str) -> None:
    assert short(value) == text


def test_a_page_is_written_whole(tmp_path: Path) -> None:
    page = full_page("title")
    assert page.write(tmp_path / "new" / "page.html").read_text(encoding="utf-8") == page.html()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1100, 500])
def test_a_browser_shows_the_page(tmp_path: Path, render: Callable[[Path, int, int], Any], width: int) -> None:
    blank = render(Page("").write(tmp_path / "blank.html"), width, 1500)
    shown = render(full_page("title").write(tmp_path / "page.html"), width, 1500)
    assert len(shown.png) > 2 * len(blank.png)
    assert shown.dom.count("<svg") == 3
    assert shown.dom.count("<details") == 3
    assert 'class="line c0"' in shown.dom


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 600, 500])
def test_no_axis_makes_the_page_scroll_sideways(
    tmp_path: Path, render: Callable[[Path, int, int], Any], width: int
) -> None:
    page = Page("title")
    page.histogram([2**place for place in range(10, 17)], [1, 3, 1, 2, 3, 1], "tokens", "documents")
    page.lines([Line("loss", [0, 120_000], [3.0, 2.0])], "step", "loss")
    measure = "document.title = document.documentElement.scrollWidth - document.documentElement.clientWidth"
    measured = page.html().replace(POLICY, "").replace("</body>", f"<script>{measure}</script></body>")
    (tmp_path / "page.html").write_text(measured)
    assert "<title>0</title>" in render(tmp_path / "page.html", width, 900).dom


@pytest.mark.slow
def test_a_browser_runs_nothing_of_hostile_text(tmp_path: Path, render: Callable[[Path, int, int], Any]) -> None:
    attack = "</title></style><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    dom = render(full_page(attack).write(tmp_path / "page.html"), 800, 600).dom
    assert "<script" not in dom
    assert "<img" not in dom
    assert "<title>owned" not in dom


def test_a_page_before_another_has_its_title_and_both_their_sections(parse_page: Callable[[str], Any]) -> None:
    other = full_page(HOSTILE)
    lead = Page(HOSTILE + "lead")
    lead.section("first")
    lead.text('<section id="s7"><header></header>')
    lead.section("second")
    html = lead.before(other.html())
    assert re.findall(r'<section id="s(\d+)">', html) == ["0", "1", "2"]
    links = html.partition("<nav>")[2].partition("</nav>")[0]
    assert re.findall(r'<a href="#s(\d+)">', links) == ["0", "1", "2"]
    assert html.count("<header>") == html.count("</body>") == html.partition("<header>")[0].count("<title>") == 1
    assert html.index("first</h2>") < html.index("second</h2>") < html.index('<section id="s2">')
    assert html.count("<section") == html.count("</section>") == 3
    assert html.endswith(other.html().partition('<section id="s0">')[2])
    title = html.partition("<title>")[2].partition("</title>")[0]
    assert title.endswith("lead") and "<script" not in title
    assert parse_page(html)
