"""A config is written down: in config.yaml, in a checkpoint's facts, on a page. So no secret may stand in it."""

from __future__ import annotations

import re
from typing import Any

from foundation.config.values import join
from foundation.errors import ConfigError
from foundation.text import without_userinfo

# the last part of a key that asks for one; `eot_token` and `max_tokens` are none
NAMES = re.compile(
    r"(?i)(^|_)(password|passwd|passphrase|secret|credentials?|(api|access|private|secret|signing)_?key"
    r"|(access|api|auth|bearer|refresh|session|hf|hub)_?token)$|^token$"
)
# what keys of well-known services look like
VALUES = re.compile(
    r"\b(hf_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{20,}|gh[opsur]_[A-Za-z0-9]{30,}|github_pat_\w{20,}|glpat-[\w-]{20,}"
    r"|A[KS]IA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,})"
)
INSTEAD = "a config is written to files; give it in the environment, where the class that needs it reads it"


def refuse_secrets(tree: Any, key: str = "") -> None:
    """Refuse what looks like a password or a key of a service. Its value is not repeated.

    Args:
        tree: of a config, or a part of it. key: of that part.
    Raises:
        ConfigError: names the key.
    """
    if isinstance(tree, dict):
        for name, value in tree.items():
            inner = join(key, str(name))
            if isinstance(value, str | int | float) and not isinstance(value, bool) and NAMES.search(str(name)):
                raise ConfigError(f"{inner}: is a secret by its name, and {INSTEAD}")
            refuse_secrets(value, inner)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            refuse_secrets(value, join(key, str(index)))
    elif isinstance(tree, str):
        if without_userinfo(tree) != tree:
            raise ConfigError(f"{key}: holds a user's name or password in an address (//name:password@), and {INSTEAD}")
        if VALUES.search(tree):
            raise ConfigError(f"{key}: looks like a key of a service, and {INSTEAD}")
