"""The kernel that reads the shape of pages equals plain Python on any soup of tags, and trees on pages in order."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data_pipeline.clean.html_names import KINDS, name_hash, name_table
from data_pipeline.clean.html_shape import ATTRIBUTES, DEPTH, NODES, OPTIONS, UNCLOSED, shapes
from data_pipeline.clean.html_shape_one import shape_one

resiliparse_html = pytest.importorskip("resiliparse.parse.html")

PIECES = (
    *("<", ">", "/", "</", "/>", "<!", "<!--", "-->", "--!>", "-", "!", "<?", "<![CDATA[", "]]>", "<!doctype html>"),
    *('"', "'", "=", " ", "\n", "\f", "x", "é", "\x00", "a=1", "b='2'", 'c="3"', "&lt;"),
)
NAMES = ("div", "p", "li", "b", "a", "font", "span", "table", "td", "tr", "template", "object", "svg", "math", "script",
         "SCRIPT", "style", "title", "select", "option", "br", "h1", "H3", "html", "body", "rt", "ruby", "x-y", "ul",
         "plaintext", "path", "button")  # fmt: skip
TAGS = st.sampled_from(NAMES).flatmap(
    lambda name: st.sampled_from((f"<{name}>", f"</{name}>", f"<{name} ", f"<{name}", f"<{name} a=1 b>", f"<{name}/>"))
)
soups = st.lists(st.sampled_from(PIECES) | TAGS | st.text(max_size=2), max_size=40).map("".join)


def shape_of(page: str, max_depth: int = 256) -> list[int]:
    found: list[int] = shapes(pa.array([page], pa.large_string()), max_depth)[0].tolist()
    return found


@settings(max_examples=1500)
@given(st.lists(soups, max_size=4), st.sampled_from((0, 1, 3, 256)))
@example(["<script><!--<script></script>", "<script><!--></script>", "<script><!--<script>--></script>"], 256)
@example(
    ["<a b=/>", "<svg><g/><g b=/><g b='c'/>", "<a b='", "</", "</>", "<!-->", "<!--->", "<!---!>", "<!----!>"], 256
)
@example(["<template>x<table><div></table>", "<svg><style><div>", "<b><b><b><b>", "<table><div><td>", "</p>"], 256)
def test_the_kernel_equals_plain_python(pages: list[str], max_depth: int) -> None:
    found = shapes(pa.array(["before", *pages], pa.large_string()).slice(1), max_depth)
    assert found.tolist() == [shape_one(page, max_depth) for page in pages]


nested = st.recursive(
    st.sampled_from(("x", "", "<br>", "<img src=y>", "<!-- <div> -->", "<script>if (a<b) '<div>'</script>")),
    lambda inner: st.tuples(st.sampled_from(("div", "ul", "span", "section", "b")), st.lists(inner, max_size=3)).map(
        lambda both: f"<{both[0]}>{''.join(both[1])}</{both[0]}>"
    ),
    max_leaves=30,
)


@given(nested)
def test_depth_is_that_of_the_tree_of_a_page_in_order(page: str) -> None:
    tree = resiliparse_html.HTMLTree.parse(f"<!doctype html><html><body>{page}</body></html>")

    def depth(node: resiliparse_html.DOMNode) -> int:
        inner = [depth(child) for child in node.child_nodes if child.tag and not child.tag.startswith("#")]
        return (node.tag not in ("br", "img", "script")) + max(inner, default=0)

    assert shape_of(page)[DEPTH] == depth(tree.body) - 1


def test_each_number_is_of_what_it_says() -> None:
    assert shape_of("<p>" * 99 + "<li>" * 99 + "<div>" * 7)[DEPTH] == 7
    assert shape_of("<p a b=1 c='>' d=\">\" e>x")[ATTRIBUTES] == 5
    assert shape_of("<html a><p b><html c d>")[ATTRIBUTES] == 3
    assert shape_of("<select><option><option></select><select><option>")[OPTIONS] == 2
    assert shape_of("<div>x<br>y</div><!-- z -->")[NODES] == 5
    assert shape_of("<p>x</p>")[UNCLOSED] == 0


@pytest.mark.parametrize(
    "end",
    ["<!-- x", "<a href='x>y</a>", "<a", "<script>x", "<style>x</styl", "<textarea>x<p>", "<template>x", "<?x", "</x"],
)
def test_what_a_page_ends_in_is_measured(end: str) -> None:
    assert shape_of(f"<p>é</p>{end}")[UNCLOSED] == len(end)


def test_elements_without_end_tags_do_not_add_up_where_parsers_close_them() -> None:
    assert shape_of("<table>" + "<tr><td><div><span>x" * 50)[DEPTH] == 3
    assert shape_of("<p><span>x" * 50)[DEPTH] == 1
    assert shape_of("<a href=x>y" * 50)[DEPTH] == 1
    assert shape_of("<b>x" * 50)[DEPTH] == 3
    assert shape_of("".join(f"<font size={size}>" for size in range(50)))[DEPTH] == 50


def test_nesting_is_not_hidden_by_end_tags_that_close_nothing() -> None:
    for hidden in ("<a><div></a>", "<div><table></div>", "<div><object></div>", "<table><template><div></table>"):
        assert shape_of(hidden * 300)[DEPTH] > 256


def test_names_have_hashes_of_their_own() -> None:
    hashes, _ = name_table()
    assert len({name_hash(name) for name in KINDS}) == len(KINDS) == (hashes != 0).sum()
