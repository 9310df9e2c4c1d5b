"""A config is written down: in config.yaml, in a checkpoint's facts, on a page. So no secret may stand in it."""

from __future__ import annotations

from typing import Any

from foundation.config.values import join
from foundation.errors import ConfigError
from foundation.secrets import NAMES, VALUES
from foundation.text import without_userinfo

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
            if value is not None and not isinstance(value, bool) and NAMES.search(str(name)):
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
