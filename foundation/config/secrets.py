"""A config is written down: in config.yaml, in a checkpoint's facts, on a page. So no secret may stand in it."""

from __future__ import annotations

import re
from typing import Any

from foundation.config.values import join
from foundation.errors import ConfigError
from foundation.secrets import NAMES, VALUES, before_query, without_query
from foundation.text import without_userinfo

NONE = re.compile(r"(?!)")
INSTEAD = "a config is written to files; give it in the environment, where the class that needs it reads it"


def refuse_secrets(tree: Any, key: str = "", signed: re.Pattern[str] = NONE) -> None:
    """Refuse what looks like a password or a key of a service. Its value is not repeated.

    Args:
        tree: of a config, or a part of it. key: of that part.
        signed: full keys of addresses whose queries are not looked at, for `hide_queries` takes them out of what is
            written: storage services sign addresses by them.
    Raises:
        ConfigError: names the key.
    """
    if isinstance(tree, dict):
        for name, value in tree.items():
            inner = join(key, str(name))
            if value is not None and not isinstance(value, bool) and NAMES.search(str(name)):
                raise ConfigError(f"{inner}: is a secret by its name, and {INSTEAD}")
            refuse_secrets(value, inner, signed)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            refuse_secrets(value, join(key, str(index)), signed)
    elif isinstance(tree, str):
        tree = before_query(tree) if signed.fullmatch(key) else tree
        if without_userinfo(tree) != tree:
            raise ConfigError(f"{key}: holds a user's name or password in an address (//name:password@), and {INSTEAD}")
        if VALUES.search(tree):
            raise ConfigError(f"{key}: looks like a key of a service, and {INSTEAD}")


def hide_queries(tree: Any, signed: re.Pattern[str], key: str = "") -> Any:
    """Return a config, or a part of it, without what the queries of some addresses hold; all else is as it was.

    Args:
        signed: full keys of these addresses: of any other value a query is a part that may change what is made.
        key: of the part.
    """
    if isinstance(tree, dict):
        return {name: hide_queries(value, signed, join(key, str(name))) for name, value in tree.items()}
    if isinstance(tree, list):
        return [hide_queries(value, signed, join(key, str(index))) for index, value in enumerate(tree)]
    return without_query(tree) if isinstance(tree, str) and signed.fullmatch(key) else tree
