"""What passwords and keys of services look like, by name and by value; and text without them."""

from __future__ import annotations

import os
import re
import sys
import traceback

from foundation.errors import SettingError
from foundation.text import without_userinfo

# the last part of a name that asks for one; `eot_token`, `text_key` and `max_tokens` are none
NAMES = re.compile(
    r"(?i)(^|[_-])(password|passwd|pwd|passphrase|secret|credentials?|authorization"
    r"|(api|access|private|secret|signing|account|storage|wandb|sas)[_-]?key"
    r"|(access|api|auth|bearer|refresh|session|hf|hub|account|wandb|sas)[_-]?token)$|^(token|sas)$"
)
# of the environment: whoever exports MY_TOKEN means one
ENVIRONMENT = re.compile(NAMES.pattern + r"|(?i:[_-](token|key|secret|pass|sas|webhook)$)")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# what keys of well-known services look like; one of OpenAI or Anthropic with words before it has digits and capitals
VALUES = re.compile(
    r"\b(hf_[A-Za-z0-9]{30,}|gh[opsur]_[A-Za-z0-9]{30,}|github_pat_\w{20,}|glpat-[\w-]{20,}"
    r"|A[KS]IA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,})"
    r"|(?<![\w-])sk-(proj-|ant-[a-z0-9]+-)?[A-Za-z0-9]{20,}[\w-]*"
    r"|(?<![\w-])sk-(proj|ant-[a-z0-9]+)-(?=[\w-]*[0-9])(?=[\w-]*[A-Z])[\w-]{20,}"
    r"|(?i:\b(bearer|basic)\s+)(?=[\w.~+/-]*[0-9])[\w.~+/-]{16,}=*"
    r"|(?i:[?&]([\w-]+[_-])?(sig|signature|token|key)=)(?!\*{3}(?:[&#\s\"')]|$))[^&#\s\"']+"
)
INSTEAD = "***"
# an address, and what follows its first `?` or `#`: which parameter of it holds a signature, only its server knows. In
# prose it ends where no address goes on (RFC 3986, 2); `,`, `)` and `'` may stand in one
_IN_PROSE = re.compile(r"(?i)(https?://[^\s?#\"<>]*[?#])([^\s\"<>]+)")
_IN_VALUE = re.compile(r"(?is)(https?://[^?#]*[?#])(.+)")
# a name and its value; `;` may part two parameters or stand in a value, so that what follows one goes with it; and what
# ends in `==` may be base64 without a name
_PARAMETER = re.compile(r"([^&;=#]*=(?!=*(?:[&#]|$)))?[^&]+")
MIN_CHARS = 6  # of a value in the environment: a shorter one stands in every other word


def require_variable(key: str, name: str, holds: str) -> str:
    """Return what an environment variable holds whose name a config gives in place of a secret.

    Args:
        key: of the config, that gives it. name: of the variable. holds: what it is to hold, in words.
    Raises:
        SettingError: it isn't set, or the secret itself was given: that is not repeated.
    """
    if not VARIABLE.fullmatch(name):
        raise SettingError(
            f"{key}: is no name of an environment variable; give the name of the one that holds {holds}: a config is "
            "written to files"
        )
    value = os.environ.get(name, "").strip()
    if not value:
        raise SettingError(f"{key}: the environment variable {name} is not set; export it, it is to hold {holds}")
    return value


def without_queries(text: str) -> str:
    """Return a text with `***` for what the queries and fragments of its addresses hold, `https://host/x?key=***&***`.

    What follows an address without a blank, such as a quote or a bracket, may belong to it, and goes too.
    """
    return _IN_PROSE.sub(_masked, text)


def without_query(value: str) -> str:
    """Return an address likewise, to its very end; a value that is none comes back as it is."""
    return _IN_VALUE.sub(_masked, value)


def before_query(value: str) -> str:
    """Return an address up to its query or fragment; a value that is none comes back as it is."""
    match = _IN_VALUE.search(value)
    return value if match is None else value[: match.end(1) - 1]


def has_hidden_query(value: str) -> bool:
    """Return whether `without_query` took something out of an address: it can't be fetched any more."""
    match = _IN_VALUE.search(value)
    return match is not None and INSTEAD in match[2]


def without_secrets(text: str) -> str:
    """Return the text without what is known to be a secret, for files that others read.

    Gone are names and passwords in addresses, keys of well-known services, and the values of environment variables
    whose names say that they hold one.
    """
    named = {name: value for name, value in os.environ.items() if ENVIRONMENT.search(name)}
    named.pop("PWD", None)  # the shells' name of the working folder, which messages tell
    held = {value for value in named.values() if len(value) >= MIN_CHARS}
    for value in sorted(held, key=len, reverse=True):
        text = text.replace(value, INSTEAD)
    return VALUES.sub(INSTEAD, without_userinfo(text))


def to_show(text: str) -> str:
    """Return a text for a terminal or a log: without queries, and without what is known to be a secret."""
    return without_secrets(without_queries(text))


def print_error(error: Exception) -> None:
    """Print what users can mend."""
    print(f"error: {to_show(str(error))}", file=sys.stderr)


def print_traceback() -> None:
    """Print the traceback of the exception that is being handled: its messages may repeat what a config holds."""
    print(to_show(traceback.format_exc()), end="", file=sys.stderr)


def _masked(match: re.Match[str]) -> str:
    return match[1] + _PARAMETER.sub(rf"\g<1>{INSTEAD}", match[2])
