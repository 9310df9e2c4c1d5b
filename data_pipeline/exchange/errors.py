"""The exchange's family of errors."""

from __future__ import annotations

import re

from foundation.errors import GroundworkError

NAME = re.compile(r"[^/\\\0.\s:=][^/\\\0\s:=]*")  # of a source: its shards' files are named by it


class ExchangeError(GroundworkError):
    """Shards can't be merged, imported or exported as they are; nothing was made."""


def require_name(typed: str, name: str) -> None:
    """Refuse a name of a source that can't name files, or can't be typed in a position.

    Raises:
        ExchangeError: says what was typed.
    """
    if not NAME.fullmatch(name):
        raise ExchangeError(f"{typed}: {name!r} names files; give a word without blanks, /, : and =, e.g. fineweb")
