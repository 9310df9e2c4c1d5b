"""What the table of HTML to text rests on: pages as sites have them, texts held against the peer's."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("resiliparse.extract.html2text")


@pytest.fixture(scope="module")
def html_text(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("html_text")


def test_a_framed_text_is_a_page_whose_text_is_the_one_given(html_text: ModuleType) -> None:
    text = "First <paragraph> of a text & more of it, long enough for emphasis and a link.\n\nThe second one. " * 4
    [page] = html_text.framed([text])
    assert page.startswith("<!DOCTYPE html>") and "{" + "title}" not in page and "&lt;paragraph&gt;" in page
    [found] = html_text.loop([page])
    assert "First <paragraph>" in found and "The second one." in found
    assert "Section 7" not in found and "window.data" not in found


def test_a_corpus_is_compared_with_the_loop_pages_that_fail_left_out(html_text: ModuleType) -> None:
    pages = [*html_text.framed(["some words of a text"] * 3), "<html><p>x<!-- never closed"]
    row = html_text.compared("a few", pages, repeats=1)
    assert row[:2] == ["a few (1 quarantined)", "4"] and len(row) == 7


def test_inputs_are_read_in_order_up_to_a_size(html_text: ModuleType, tmp_path: Path) -> None:
    for name, content in (("b", "<p>b"), ("a", "<p>a"), ("c", "<p>" + "c" * 3_000_000)):
        (tmp_path / f"{name}.html").write_text(content)
    assert html_text.files_of(tmp_path, 1.0) == ["<p>a", "<p>b"]
    lines = tmp_path / "x.jsonl"
    lines.write_text('{"text": "one"}\n{"text": "two"}\n')
    assert html_text.texts_of(lines) == ["one", "two"]
    assert html_text.Named.of(f"name={lines}") == ("name", lines)
    with pytest.raises(argparse.ArgumentTypeError, match="NAME=PATH"):
        html_text.Named.of("name=nowhere")
