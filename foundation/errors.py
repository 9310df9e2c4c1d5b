"""Errors for users. Each room derives its own family; `assert` stays for what our own code guarantees."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GroundworkError(ValueError):
    """Base of everything a user can mend. Commands print its message without a traceback and exit with 2.

    The message says the key or the file and line, what was found, what is allowed and what to do.

    Attributes:
        exit_code: of a command that it ends.
        restart_helps: whether ranks that a launcher starts again may get further; None: once the run has begun.
    """

    exit_code = 2
    restart_helps: bool | None = None


class ConfigError(GroundworkError):
    """A config key is unknown, missing, of a wrong type or of a value that can't work."""


class UnknownKeyError(ConfigError):
    """A config key is unknown, or stands where no object is.

    Attributes:
        key: its full name.
        has_guess: whether the message says what may be meant.
        is_slip: whether that is a key beside it, of nearly the same name.
    """

    def __init__(self, key: str, message: str, has_guess: bool = False, is_slip: bool = False) -> None:
        super().__init__(f"{key}: {message}")
        self.key, self.has_guess, self.is_slip = key, has_guess, is_slip


class SettingError(ConfigError):
    """An argument that can't work, from a constructor: the message begins with the argument's name alone.

    `foundation.config.build` puts the node's key before it, which only the config knows.
    """


class InputError(GroundworkError):
    """An input file or record can't be read as what it claims to be."""


def require(is_allowed: bool, name: str, value: object, allowed: str) -> None:
    """Refuse a constructor's argument unless it is allowed.

    Args:
        is_allowed: whether it is.
        name: of the argument.
        value: what was found.
        allowed: what to give, e.g. `a number from 0 to 1`.
    Raises:
        SettingError: `<name>: <value> is not allowed; give <allowed>`.
    """
    if not is_allowed:
        raise SettingError(f"{name}: {value!r} is not allowed; give {allowed}")


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the most similar allowed word, or an empty string when none is similar."""
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
