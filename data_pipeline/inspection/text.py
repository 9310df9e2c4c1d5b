"""Tokens as people read them: the text of a document, the tokens around one of them, a column of ids."""

from __future__ import annotations

import numpy as np
from tokenizers import Tokenizer

from data_pipeline.inspection.errors import InspectionError
from data_pipeline.tokenize.checks import load
from foundation.text import one_line, visible

TOKEN_CHARS = 16  # shown of one
MARKS = "\u27ea", "\u27eb"  # around the token that was asked for: double angle brackets, rare in text


class Decoder:
    """Decodes ids, special tokens shown.

    Args:
        tokenizer_json: bytes of the file.
        where: what errors name.
    """

    def __init__(self, tokenizer_json: bytes, where: str) -> None:
        self._tokenizer: Tokenizer = load(tokenizer_json, where)
        self._where = where
        ids = list(self._tokenizer.get_vocab().values())
        self._has_token = np.zeros(max(ids) + 1, np.bool_)
        self._has_token[ids] = True

    def check(self, name: str, ids: np.ndarray, first: int) -> None:
        """Refuse ids that no token has: decoding leaves them out without a word.

        Args:
            name: of the shard, for the error.
            ids: (n,) integers.
            first: position of the first.
        Raises:
            InspectionError: says which token has which id.
        """
        inside = (ids >= 0) & (ids < len(self._has_token))
        known = inside & self._has_token[np.where(inside, ids, 0)]
        if not known.all():
            place = int(np.argmin(known))
            raise InspectionError(
                f"{name}: token {first + place:,} has id {ids[place]}, which the vocabulary of {self._where} does not "
                f"have: its largest is {len(self._has_token) - 1}; name the tokenizer that encoded these, or copy the "
                "shard again from its origin"
            )

    def text(self, ids: np.ndarray) -> str:
        """Return the text of ids, (n,) integers; bytes that are no UTF-8 by themselves as U+FFFD."""
        text: str = self._tokenizer.decode(ids.tolist(), skip_special_tokens=False)
        return text

    def around(self, ids: np.ndarray, place: int, tokens: int) -> str:
        """Return the text of some tokens to each side of one, which is marked.

        A token that holds a part of a character alone shows as U+FFFD.

        Args:
            ids: (n,) of a document.
            place: of the token among them.
        """
        before, after = ids[max(place - tokens, 0) : place], ids[place + 1 : place + 1 + tokens]
        left = "\u2026" if place > tokens else ""
        right = "\u2026" if place + 1 + tokens < len(ids) else ""
        marked = f"{MARKS[0]}{self.text(ids[place : place + 1])}{MARKS[1]}"
        return f"{left}{self.text(before)}{marked}{self.text(after)}{right}"

    def columns(self, ids: np.ndarray, first: int, width: int) -> list[str]:
        """Return lines of `position id token` of each, in as many columns as there is room for, read downwards.

        Args:
            ids: (n,) integers.
            first: position of the first.
            width: of a line in characters.
        """
        wide = len(f"{first + len(ids):,}"), max((len(str(number)) for number in ids.tolist()), default=1)
        tokens = [one_line(self.text(ids[place : place + 1]), TOKEN_CHARS) for place in range(len(ids))]
        cells = [
            f"{first + place:>{wide[0]},} {number:>{wide[1]}} {tokens[place]}"
            for place, number in enumerate(ids.tolist())
        ]
        longest = sum(wide) + TOKEN_CHARS + 2
        height = -(-len(cells) // max(width // (longest + 2), 1))
        rows = [cells[row::height] for row in range(height)]
        return ["  ".join(f"{cell:<{longest}}" for cell in row).rstrip() for row in rows]


def shortened(text: str, chars: int | None) -> str:
    """Return a text safe to print, cut at so many characters; None leaves its length."""
    if chars is None or len(text) <= chars:
        return visible(text)
    return f"{visible(text[:chars])}\u2026 ({len(text) - chars:,} more characters)"
