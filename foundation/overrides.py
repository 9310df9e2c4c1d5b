"""What people type behind a command to set a key of its config: values as Hydra reads them, quoted for the shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

PLACE = "{}"  # stands in a line for the number that is typed there
_WORD = re.compile(r"(?!(?i:null|true|false|nan|inf)\Z)[A-Za-z_][A-Za-z0-9_-]*")  # text without quotes
_SPECIAL = re.compile(r"[\\()\[\]{}:=,]|\A[ \t]|[ \t]\Z")
_BEFORE_QUOTE = re.compile(r"(\\*)('|\Z)")


def number_line(key: str) -> str:
    """Return what sets a key to a number, PLACE in its stead."""
    return f"{key}={PLACE}" if shlex.quote(key) == key else shlex.quote(f"{key}={PLACE}")


def entry_line(key: str, entry: str) -> str:
    """Return what sets an entry of the dict that a key holds to a number, PLACE in its stead.

    Empty where nothing that is typed does: the keys of a dict have no quotes in Hydra, so that most characters beyond
    ASCII can't stand in one, and `12` or `true` are none of its texts.
    """
    typed = f"{key}={{{_SPECIAL.sub(lambda match: chr(92) + match[0], entry)}:{PLACE}}}"
    try:
        read: Any = OverridesParser.create().parse_override(typed.replace(f":{PLACE}", ":0")).value()
    except HydraException:
        return ""
    return shlex.quote(typed) if read == {entry: 0} else ""


def list_line(key: str, names: Sequence[str]) -> str:
    """Return what sets a key to a list of texts."""
    return shlex.quote(f"{key}=[{','.join(map(_text, names))}]")


def _text(name: str) -> str:
    """Return a text as an element of a list."""
    if _WORD.fullmatch(name):
        return name
    return "'" + _BEFORE_QUOTE.sub(lambda match: match[1] * 2 + ("\\'" if match[2] else ""), name) + "'"
