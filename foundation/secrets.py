"""What passwords and keys of services look like, by name and by value; and text without them."""

from __future__ import annotations

import os
import re

from foundation.text import without_userinfo

# the last part of a name that asks for one; `eot_token`, `text_key` and `max_tokens` are none
NAMES = re.compile(
    r"(?i)(^|[_-])(password|passwd|pwd|passphrase|secret|credentials?|authorization"
    r"|(api|access|private|secret|signing|account|storage|wandb|sas)[_-]?key"
    r"|(access|api|auth|bearer|refresh|session|hf|hub|account|wandb|sas)[_-]?token)$|^(token|sas)$"
)
# of the environment: whoever exports MY_TOKEN means one
ENVIRONMENT = re.compile(NAMES.pattern + r"|(?i:[_-](token|key|secret|pass|sas)$)")
# what keys of well-known services look like; one of OpenAI or Anthropic with words before it has digits and capitals
VALUES = re.compile(
    r"\b(hf_[A-Za-z0-9]{30,}|gh[opsur]_[A-Za-z0-9]{30,}|github_pat_\w{20,}|glpat-[\w-]{20,}"
    r"|A[KS]IA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,})"
    r"|(?<![\w-])sk-(proj-|ant-[a-z0-9]+-)?[A-Za-z0-9]{20,}[\w-]*"
    r"|(?<![\w-])sk-(proj|ant-[a-z0-9]+)-(?=[\w-]*[0-9])(?=[\w-]*[A-Z])[\w-]{20,}"
    r"|(?i:\b(bearer|basic)\s+)(?=[\w.~+/-]*[0-9])[\w.~+/-]{16,}=*"
    r"|(?i:[?&]([\w-]+[_-])?(sig|signature|token|key)=)[^&#\s\"']+"
)
INSTEAD = "***"
# an address, and all behind its `?`: which parameter of a query holds a signature, only its server knows
_QUERY = re.compile(r"(?i)(https?://[^\s?#\"'<>]*\?)([^\s\"'<>,\]})]+)")
_PARAMETER = re.compile(r"([^&;=#]*=)?[^&;#]+")
MIN_CHARS = 6  # of a value in the environment: a shorter one stands in every other word


def without_queries(text: str, instead: str = INSTEAD) -> str:
    """Return the text with `***` for every value in the queries of its addresses, `https://host/x?key=***&sig=***`."""
    return _QUERY.sub(lambda match: match[1] + _PARAMETER.sub(rf"\g<1>{instead}", match[2]), text)


def has_hidden_query(address: str) -> bool:
    """Return whether `without_queries` took something out of an address: it can't be fetched any more."""
    match = _QUERY.search(address)
    return match is not None and INSTEAD in match[2]


def without_secrets(text: str) -> str:
    """Return the text without what is known to be a secret, for files that others read.

    Gone are names and passwords in addresses, keys of well-known services, and the values of environment variables
    whose names say that they hold one.
    """
    held = {value for name, value in os.environ.items() if len(value) >= MIN_CHARS and ENVIRONMENT.search(name)}
    for value in sorted(held, key=len, reverse=True):
        text = text.replace(value, INSTEAD)
    return VALUES.sub(INSTEAD, without_userinfo(text))
