"""Errors for users. Each room derives its own family; `assert` stays for what our own code guarantees."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GroundworkError(ValueError):
    """Base of everything a user can mend. Commands print its message without a traceback and exit with 2.

    The message says the key or the file and line, what was found, what is allowed and what to do.
    """


class ConfigError(GroundworkError):
    """A config key is unknown, missing, of a wrong type or of a value that can't work."""


class InputError(GroundworkError):
    """An input file or record can't be read as what it claims to be."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the most similar allowed word, or an empty string when none is similar."""
    close = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""
