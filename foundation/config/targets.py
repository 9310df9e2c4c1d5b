"""From the text of a `_target_` to the class it names, and to nothing else."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

from foundation.errors import ConfigError, nearest

# An allow-list: every blocklist of callables has been walked around (GHSA-37p2-j732-x8pj, CVE-2025-23304).
DEFAULT_TARGETS = ("foundation.", "data_pipeline.", "pretrain.", "launch.")
PATH = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")  # no part is private or a dunder


def resolve(path: Any, key: str, allowed: tuple[str, ...] = DEFAULT_TARGETS) -> Callable[..., Any]:
    """Return the class or function that a `_target_` names.

    Args:
        path: `package.module.Name`; Name must be defined in that module, or inside that package and re-exported by it.
        key: full key of the node, for messages.
        allowed: prefixes, each ending in a dot.
    Raises:
        ConfigError: the path lies outside `allowed`, leads through an import, or names no class or function.
    """
    where = f"{key}._target_"
    if not isinstance(path, str) or not PATH.fullmatch(path):
        raise ConfigError(f"{where}: {path!r} is not of the form package.module.Name; name a class")
    if not path.startswith(allowed):
        raise ConfigError(
            f"{where}: {path!r} lies outside {', '.join(prefix + '*' for prefix in allowed)}; "
            "name a class from there, or admit your own package with extra_targets=[package.] on the command line"
        )
    module_name, _, name = path.rpartition(".")
    return _own_callable(_import(module_name, where, path), name, where, path)


def extra_prefixes(overrides: list[str]) -> tuple[str, ...]:
    """Return the module prefixes that arguments such as `extra_targets=[mine.]` admit.

    Raises:
        ConfigError: one doesn't end in a dot: it would admit more than a package.
    """
    text = ",".join(override.partition("=")[2].strip("[] ") for override in overrides)
    prefixes = tuple(word.strip() for word in text.split(",") if word.strip())
    for prefix in prefixes:
        if not prefix.endswith("."):
            raise ConfigError(f"extra_targets: {prefix!r} doesn't end in a dot; write extra_targets=[{prefix}.]")
    return prefixes


def own_prefixes(tree: Any) -> list[str]:
    """Return what `extra_targets=` must admit for a plain config: the packages of its targets that aren't ours."""
    found: set[str] = set()
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            target = value.get("_target_")
            if isinstance(target, str) and not target.startswith(DEFAULT_TARGETS):
                found.add(f"{target.partition('.')[0]}.")
            value = list(value.values())
        waiting += value if isinstance(value, list) else []
    return sorted(found)


def _import(module_name: str, where: str, path: str) -> Any:
    # Part by part: `pretrain.store.pathlib` must fail here and not import what `store` imported.
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and not (module_name + ".").startswith(error.name + "."):
            raise  # a dependency of the module is missing: not a wrong path
        found = f"{where}: {path!r}: there is no module {module_name!r}; check the path"
        if not path.startswith(DEFAULT_TARGETS):
            found += f", and install the package or set PYTHONPATH to the folder that holds {path.partition('.')[0]}/"
        raise ConfigError(found) from error


def _own_callable(module: Any, name: str, where: str, path: str) -> Callable[..., Any]:
    found = vars(module).get(name)
    if found is None:
        public = [word for word, value in vars(module).items() if inspect.isclass(value)]
        raise ConfigError(f"{where}: {module.__name__} has no {name!r}{nearest(name, public)}")
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        raise ConfigError(f"{where}: {path!r} is a {type(found).__name__}, not a class or function")
    home = found.__module__
    if home != module.__name__ and not home.startswith(module.__name__ + "."):
        raise ConfigError(f"{where}: {path!r} is only imported there, its home is {home!r}; name it by its home")
    if found.__qualname__ != found.__name__:
        raise ConfigError(f"{where}: {path!r} is no top-level class or function of {home!r}")
    return found
