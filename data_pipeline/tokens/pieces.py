"""A short text cut as a tokenizer cuts it, so that people see it: a piece is the characters of a token."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of characters, and the tokens that it is: several where a character is cut, e.g. an emoji in three."""

    text: str
    ids: tuple[int, ...]


def cut(tokenizer: Tokenizer, text: str) -> list[Piece]:
    """Return the pieces of a text, end to end they are the text.

    Args:
        tokenizer: as `tokenize.checks.load` returns it.
        text: short: of each character's place there is an object.
    """
    encoding = tokenizer.encode(text, add_special_tokens=False)
    pieces: list[Piece] = []
    start, stop = 0, 0
    ids: list[int] = []
    for index, (first, last) in zip(encoding.ids, encoding.offsets, strict=True):
        # one that begins inside the characters so far goes with them; blanks that offsets leave out, with the next
        if ids and first >= stop and stop > start:
            pieces.append(Piece(text[start:stop], tuple(ids)))
            start, ids = stop, []
        ids.append(index)
        stop = max(stop, last)
    if start < len(text):
        pieces.append(Piece(text[start:], tuple(ids)))
    return pieces
