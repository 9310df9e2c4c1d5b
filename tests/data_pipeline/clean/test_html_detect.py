from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.html_detect import is_fragment, is_fragment_one, is_html, is_html_one

PIECES = (
    "\ufeff", " ", "\n", "\x0b", "<!--", "-->", "<!-->", "<?xml v?>", "<?", ">", "<!DOCTYPE", "<!doctype html", " html",
    "HTML>", "<html", "<HEAD>", "<body ", "<Title/", "<meta\n", "<metal>", "<p>", "<DIV ", "<h1", "<pre/", "<path>",
    "x", "<", "K",
)  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=8).map("".join)


def one(text: str) -> bool:
    return bool(is_html(pa.array([text], pa.large_string()))[0])


@given(st.lists(texts, max_size=5))
@example(["", "<html", "<html>", "\ufeff<!-- <p> -->\n<?xml version='1.0'?><HTML>", "<!--"])
def test_the_kernel_equals_plain_python(many: list[str]) -> None:
    found = is_html(pa.array(["<html>", *many, "<html>"], pa.large_string()).slice(1, len(many)))
    assert found.tolist() == [is_html_one(text) for text in many]
    found = is_fragment(pa.array(["<p>", *many, "<p>"], pa.large_string()).slice(1, len(many)))
    assert found.tolist() == [is_fragment_one(text) for text in many]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("<div class='x'>a</div>", True), ("\ufeff <!-- x -->\n<P>a", True), ("<blockquote\n>", True), ("<br/>", True),
     ("<html><p>a", False), ("# Title\n<p>a", False), ("<path d=''>", False), ("<div", False), ("<", False),
     ("a < b", False), ("<3 you", False), ("", False)],
)  # fmt: skip
def test_fragments_begin_with_the_tag_of_a_text(text: str, is_one: bool) -> None:
    assert is_fragment(pa.array([text], pa.large_string())).tolist() == [is_one]


@pytest.mark.parametrize(
    "page",
    [
        "<!doctype html><p>x",
        "\ufeff \n<!DOCTYPE\nHTML PUBLIC '-//W3C//DTD HTML 4.01//EN'>",
        "<?xml version='1.0'?>\n<!-- a --><!-- b -->\n<!DOCTYPE html SYSTEM 'x'><html>",
        "<html lang=en>",
        "<body>x",
        "<title>x</title>",
    ],
)
def test_whole_pages_are_html(page: str) -> None:
    assert one(page)


@pytest.mark.parametrize(
    "text",
    ["", "x <html>", "# Title\n<p>x</p>", '<p align="center">x</p>', "<!-- x", "<!-- x --># Title", "<htmlx>", "<html",
     "<!doctype htmlx>", "<?xml version='1.0'?><rss>", "<script>x</script>", "<template>x</template>"],
)  # fmt: skip
def test_other_texts_and_fragments_are_not(text: str) -> None:
    assert not one(text)
