"""Texts of what the rules look at, put together at random."""

from __future__ import annotations

from hypothesis import strategies as st

SPACES = (" ", "\n", "\n\n", " \n", "\t", "\x1c", "\x85", "\xa0", "\u2028", "\u3000")
WORDS = ("a", "b", "ab", "the", "é", "ß", "语", "🎉", "\u0301", "\u200b", "𐐀", "\x00", "1", "_", "incomprehensibly")
MARKS = (".", "!", "?", "...", "…", "。", "」", '"', "”", ")", "J.", "e.g.", "A.B.", "܀", "\u2024")
PHRASES = (
    *("[1]", "[", "]", "[]", "[edit]", "[citation needed]", "[citation", "{", "lorem ipsum", "Lorem", "IPSUM"),
    *("javascript", "JavaScript,", "javascripT", "use cookies", "USES COOKIES", "terms of use", "privacy policy"),
    *("bad", "bad word", "BAD"),
)


def texts_of(*telling: str, most: int = 40) -> st.SearchStrategy[str]:
    """Return texts of these pieces and of white space, words and any characters between."""
    pieces = st.sampled_from(telling + SPACES + WORDS) | st.sampled_from(SPACES) | st.text(max_size=3)
    return st.lists(pieces, max_size=most).map("".join)
