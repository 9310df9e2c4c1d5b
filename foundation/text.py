"""Text that is shown: a document, an id or a config value may hold anything, a terminal and a page must survive it."""

from __future__ import annotations

import re

_CONTROL_PICTURES = 0x2400  # U+2400 + c draws the control character c, e.g. U+241B for escape
_DELETE_PICTURE = "\u2421"
# What can move the cursor, reverse or hide what follows, break the encoding, or stand in a text unseen
_UNSAFE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 except tab and newline, delete, C1
    "\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f"  # soft hyphen, joiners, zero-width and bidirectional marks
    "\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb"  # line separators, more of these, byte order mark, annotations
    "\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # letters without a glyph: Hangul fillers, Khmer inherent vowels
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # formats of hieroglyphs, shorthand, music
    "\ufe00-\ufe0f\U000e0000-\U000e0fff"  # variation selectors, tags: whole sentences have been hidden in them
    "\ud800-\udfff"  # surrogates
    "]"
)
# user:password@ in an address, up to the last @ before its path; Azure's container@account is a place, not a user
_USERINFO = re.compile(
    r"(?<=://)(?:[^/?#\s:]*:[^/?#\s]*@"
    r"|(?<!\babfs://)(?<!\babfss://)(?<!\bwasb://)(?<!\bwasbs://)[^/?#\s]+@)"
)


def without_userinfo(text: str) -> str:
    """Return the text without user names and passwords in addresses."""
    return _USERINFO.sub("", text)


def visible(text: str) -> str:
    """Return the text with every control, hidden and bidirectional character drawn as a visible one.

    Tab and newline stay. The result can be encoded, printed on a terminal and, escaped, put into a page.

    Source: Unicode 16, "Control Pictures" and Default_Ignorable_Code_Point; Boucher and Anderson, "Trojan Source",
    arXiv:2111.00169.
    """
    return _UNSAFE.sub(_draw, text)


def one_line(text: str, max_chars: int | None = None) -> str:
    """Return the visible text on one line, its newlines and tabs drawn as well, cut with an ellipsis at `max_chars`."""
    line = visible(text).replace("\n", "\u240a").replace("\t", " ")
    return line if max_chars is None or len(line) <= max_chars else line[: max(max_chars - 1, 0)] + "…"


def number_of(number: int, what: str) -> str:
    """Return a number of things in words: `1 document`, `1,234 documents`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _draw(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    if code == 0x7F:
        return _DELETE_PICTURE
    return f"\u27e8U+{code:04X}\u27e9"
