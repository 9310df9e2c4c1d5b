"""Which documents are HTML: told by how they begin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.html_bytes import ends_name, past_spaces
from data_pipeline.compiled import array_kernel
from data_pipeline.documents import utf8_buffers

# What a page begins with, in any case; a name ends with white space, "/" or ">".
DOCTYPE, HTML = "<!doctype", "html"
STARTS = ("<html", "<head", "<body", "<title", "<meta")
# What a fragment begins with: the elements that hold the text of pages.
TAGS = (
    "a", "article", "aside", "b", "blockquote", "br", "center", "dd", "div", "dl", "dt", "em", "figure", "font",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i", "iframe", "img", "li", "link", "main",
    "nav", "ol", "p", "pre", "script", "section", "span", "strong", "style", "table", "tbody", "td", "th", "tr", "ul",
)  # fmt: skip
SPACES = "\t\n\f\r "  # of the HTML standard
_HTML = np.frombuffer(HTML.encode(), np.uint8)
_DOCTYPE = np.frombuffer(DOCTYPE.encode(), np.uint8)
_PAGE = np.array([start.encode() for start in STARTS]).view(np.uint8).reshape(len(STARTS), -1)  # zeros behind each
_FRAGMENT = np.array([f"<{tag}".encode() for tag in TAGS]).view(np.uint8).reshape(len(TAGS), -1)
_COMMENT, _COMMENT_END = np.frombuffer(b"<!--", np.uint8), np.frombuffer(b"-->", np.uint8)
_LT, _GT, _QUESTION = 0x3C, 0x3E, 0x3F


def is_html(texts: pa.LargeStringArray) -> np.ndarray:
    """Return which texts are whole pages, (texts,) bool.

    A page begins with one of STARTS or a doctype of `html`; before it may stand a byte order mark, white space,
    comments and declarations in `<? >`. A fragment, such as a Markdown file that begins with `<p align="center">`, is
    no page.

    Args:
        texts: without nulls.
    """
    data, offsets = utf8_buffers(texts)
    found = np.zeros(len(texts), np.bool_)
    _is_html(data, offsets, found)
    return found


def is_fragment(texts: pa.LargeStringArray) -> np.ndarray:
    """Return which texts begin with one of TAGS and are no whole pages, (texts,) bool; the same may stand before it.

    Args:
        texts: without nulls.
    """
    data, offsets = utf8_buffers(texts)
    found = np.zeros(len(texts), np.bool_)
    _is_fragment(data, offsets, found)
    return found


def is_html_one(text: str) -> bool:
    """Return whether one text is a page: the reference in plain Python."""
    text = _without_preamble(text)
    begin = _lower(text[: len(DOCTYPE)])
    if begin == DOCTYPE:
        text = text[len(DOCTYPE) :].lstrip(SPACES)
        return _lower(text[:4]) == HTML and text[4:5] in tuple(f"{SPACES}/>")
    return _begins_with(text, STARTS)


def is_fragment_one(text: str) -> bool:
    """Return whether one text is a fragment: the reference in plain Python."""
    return _begins_with(_without_preamble(text), tuple(f"<{tag}" for tag in TAGS))


def _begins_with(text: str, starts: tuple[str, ...]) -> bool:
    begin = _lower(text[: max(map(len, starts))])
    return any(
        begin.startswith(start) and text[len(start) : len(start) + 1] in tuple(f"{SPACES}/>") for start in starts
    )


def _without_preamble(text: str) -> str:
    """Return what follows a byte order mark, white space, comments and declarations; "" where one does not end."""
    text = text.removeprefix("\ufeff")
    while True:
        text = text.lstrip(SPACES)
        if text.startswith("<!--"):
            end = text.find("-->", 4)
            size = 3
        elif text.startswith("<?"):
            end = text.find(">", 2)
            size = 1
        else:
            return text
        if end < 0:
            return ""
        text = text[end + size :]


def _lower(text: str) -> str:
    """Return the text with A to Z as a to z; `str.lower` changes more than ASCII."""
    return "".join(chr(ord(char) + 32) if "A" <= char <= "Z" else char for char in text)


@array_kernel
def _is_html(data: Any, offsets: Any, found: Any) -> None:
    for text in range(offsets.size - 1):
        stop = offsets[text + 1]
        place = _past_preamble(data, offsets[text], stop)
        if _begins(data, place, stop, _DOCTYPE, 9):
            place = past_spaces(data, place + 9, stop)
            found[text] = _begins(data, place, stop, _HTML, 4) and _name_ends(data, place + 4, stop)
            continue
        found[text] = _begins_with_any(data, place, stop, _PAGE)


@array_kernel
def _is_fragment(data: Any, offsets: Any, found: Any) -> None:
    for text in range(offsets.size - 1):
        stop = offsets[text + 1]
        place = _past_preamble(data, offsets[text], stop)
        if place < stop and data[place] == _LT:
            found[text] = _begins_with_any(data, place, stop, _FRAGMENT)


@array_kernel
def _begins_with_any(data: Any, place: int, stop: int, starts: Any) -> bool:
    """Return whether data[place:stop] begins with one of these, zeros behind each, and its name ends there."""
    for start in starts:
        size = 0
        while size < start.size and start[size] != 0:
            size += 1
        if _begins(data, place, stop, start, size) and _name_ends(data, place + size, stop):
            return True
    return False


@array_kernel
def _past_preamble(data: Any, place: int, stop: int) -> int:
    """Return the first place that is no byte order mark at `place`, no white space, comment or declaration."""
    if stop - place >= 3 and data[place] == 0xEF and data[place + 1] == 0xBB and data[place + 2] == 0xBF:
        place += 3
    while True:
        place = past_spaces(data, place, stop)
        if _begins(data, place, stop, _COMMENT, 4):
            place += 4
            while place < stop and not _begins(data, place, stop, _COMMENT_END, 3):
                place += 1
            place = min(place + 3, stop)
        elif place + 1 < stop and data[place] == _LT and data[place + 1] == _QUESTION:
            while place < stop and data[place] != _GT:
                place += 1
            place = min(place + 1, stop)
        else:
            return place


@array_kernel
def _begins(data: Any, place: int, stop: int, start: Any, size: int) -> bool:
    """Return whether data[place:stop] begins with start[:size], which is lower case, in any case."""
    if stop - place < size:
        return False
    for at in range(size):
        byte = data[place + at]
        if (byte + 0x20 if 0x41 <= byte <= 0x5A else byte) != start[at]:
            return False
    return True


@array_kernel
def _name_ends(data: Any, place: int, stop: int) -> bool:
    return place < stop and ends_name(data[place])
