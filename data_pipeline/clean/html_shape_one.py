"""The shape of one page in plain Python: the reference that html_shape's kernel equals."""

from __future__ import annotations

import re

from data_pipeline.clean.html_names import (
    BARRIER,
    CELL,
    FOREIGN,
    FORMAT,
    HEADINGS,
    KINDS,
    LAST,
    OPTIONAL,
    PLAIN,
    RAW,
    RUBY,
    SELECT,
    TABLE,
    VOID,
    WHOLE,
)
from data_pipeline.clean.html_shape import SAME_FORMATS

# What is no text: a name's first part, a comment, another declaration. "</" at the very end is text.
MARKUP = re.compile(rb"<(?:(/?)(?=[A-Za-z])|!--|[!?]|/(?=.))", re.DOTALL)
NAME = re.compile(rb"[^\t\n\f\r />]*")
SPACES = re.compile(rb"[\t\n\f\r /]*")
VALUE = rb"""(?:"[^"]*"?|'[^']*'?|[^"'\t\n\f\r >][^\t\n\f\r >]*|)"""
ATTRIBUTE = re.compile(rb"[^>][^\t\n\f\r />=]*[\t\n\f\r ]*(=[\t\n\f\r ]*" + VALUE + rb")?", re.DOTALL)
COMMENT = re.compile(rb"<!--(?:-?>|.*?--!?>)", re.DOTALL)
DECLARATION = re.compile(rb"<[!?/][^>]*>")
SCRIPT = re.compile(rb"(<!--)|(-->)|<(/?)script(?=[\t\n\f\r />])", re.IGNORECASE)


class Page:
    """What is open at a place of a page, and the shape so far."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.open: list[tuple[str, int, int]] = []  # name, kind, place
        self.formats: list[tuple[str, bytes]] = []  # name, as it is written
        self.in_select = self.whole = self.attributes = self.depth = self.options = self.nodes = 0

    def in_foreign(self) -> bool:
        return any(kind == FOREIGN for _, kind, _ in self.open)


def shape_one(text: str, max_depth: int) -> list[int]:
    """Return the columns of `shapes` for one page."""
    page = Page(text.encode())
    unclosed = _read(page, max_depth)
    if page.depth <= max_depth:
        unclosed = min([unclosed, *(place for name, _, place in page.open if name == "template")])
    return [page.depth, page.attributes, page.options, page.nodes, len(page.text) - unclosed]


def _read(page: Page, max_depth: int) -> int:
    text, place = page.text, 0
    while place < len(text):
        found = MARKUP.search(text, place)
        start = found.start() if found else len(text)
        page.nodes += start > place
        if found is None:
            break
        if found[1] is None:
            page.nodes += 1
            whole = (COMMENT if found[0] == b"<!--" else DECLARATION).match(text, start)
            if whole is None:
                return start
            place = whole.end()
            continue
        written = NAME.match(text, found.end())
        assert written is not None
        name = written[0].translate(bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz"))
        after, attributes, closes_itself = _past_attributes(text, written.end())
        if after < 0:
            return start
        place = _tag(page, name.decode(), start, after, attributes, bool(found[1]), closes_itself)
        if place < 0:
            return start
        page.depth = max(page.depth, len(page.open) + len(page.formats))
        if page.depth > max_depth:
            break
    return len(text)


def _tag(
    page: Page, name: str, start: int, after: int, attributes: int, is_end: bool, closes_itself: bool
) -> int:  # fmt: skip
    """Return where to read on after a tag, -1 where it is never closed."""
    kind = KINDS.get(name, PLAIN)
    name = HEADINGS[0] if name in HEADINGS else name
    if page.in_foreign() and kind == RAW:
        kind = PLAIN
    if is_end:
        page.nodes += name == "p"
        _close(page, name, kind)
        return after
    page.nodes += 1
    page.whole += attributes if kind == WHOLE else 0
    page.attributes = max(page.attributes, page.whole if kind == WHOLE else attributes)
    if kind == LAST:
        return len(page.text)
    if kind == RAW:
        return _past_raw(page.text, name, after)
    if not (closes_itself and kind == PLAIN and page.in_foreign()):
        _open(page, name, kind, start, page.text[start:after])
    return after


def _past_attributes(text: bytes, place: int) -> tuple[int, int, bool]:
    num, after_value = 0, False
    while True:
        spaces = SPACES.match(text, place)
        assert spaces is not None
        if spaces.end() > place:
            after_value = False
        place = spaces.end()
        if text[place : place + 1] == b">":
            return place + 1, num, text[place - 1 : place] == b"/" and not after_value
        found = ATTRIBUTE.match(text, place)
        if found is None:
            return -1, num, False
        num, place, after_value = num + 1, found.end(), found[1] is not None


def _past_raw(text: bytes, name: str, place: int) -> int:
    if name != "script":
        found = re.compile(rb"</" + name.encode() + rb"(?=[\t\n\f\r />])", re.IGNORECASE).search(text, place)
        return found.start() if found else -1
    depth = 0  # 1: in a comment, 2: in a script in it
    while found := SCRIPT.search(text, place):
        place = found.end()
        if found[1]:
            place -= 2 if depth == 0 else 3  # its dashes may be those that end it
            depth = max(depth, 1)
        elif found[2]:
            depth = 0
        elif found[3]:
            if depth < 2:
                return found.start()
            depth = 1
        elif depth == 1:
            depth = 2
    return -1


def _open(page: Page, name: str, kind: int, place: int, written: bytes) -> None:
    if kind == FORMAT:
        if name == "a":
            _close_format(page, name)
        same = [entry for entry, (_, other) in enumerate(page.formats) if other == written]
        if len(same) == SAME_FORMATS:
            del page.formats[same[0]]
        page.formats.append((name, written))
    elif kind == SELECT:
        page.in_select = 0
    else:
        _close_before(page, name, kind)
        if kind not in (VOID, WHOLE, PLAIN, RUBY):
            page.nodes += len(page.formats)
        if kind not in (VOID, WHOLE, OPTIONAL, CELL):
            page.open.append((name, kind, place))


def _close_before(page: Page, name: str, kind: int) -> None:
    """Close what a start tag closes."""
    if kind == OPTIONAL:
        page.in_select += name == "option"
        page.options = max(page.options, page.in_select if name == "option" else 0)
        while page.open and page.open[-1][1] == PLAIN:
            page.open.pop()
    elif kind == RUBY:
        while page.open and page.open[-1][1] == RUBY:
            page.open.pop()
    elif kind == CELL and any(inside == TABLE for _, inside, _ in page.open):
        while page.open[-1][1] != TABLE:
            page.open.pop()


def _close(page: Page, name: str, kind: int) -> None:
    if kind == FORMAT:
        _close_format(page, name)
    if kind == SELECT:
        page.in_select = 0
    for entry in reversed(range(len(page.open))):
        opened, inside, _ = page.open[entry]
        if opened == name:
            del page.open[entry:]
            return
        if kind in (PLAIN, RUBY) and inside not in (PLAIN, RUBY):
            return
        may_pass = name == "template" or (name == "table" and opened != "template")
        if inside in (BARRIER, TABLE) and not may_pass:
            return


def _close_format(page: Page, name: str) -> None:
    for entry in reversed(range(len(page.formats))):
        if page.formats[entry][0] == name:
            del page.formats[entry]
            return
