"""Packages that only some rules need: loaded at first use, named where they are missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

from foundation.errors import ConfigError


def load_extra(module: str, package: str, who: str) -> Any:
    """Return a module of the extra `web`.

    Args:
        module: its name.
        package: which installs it.
        who: the rule that needs it, for the message.
    Raises:
        ConfigError: it is not installed, or can't be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(_missing(package, who, str(error))) from error


def extra_file(module: str, name: str, package: str, who: str) -> Path:
    """Return the path of a file that lies in a package, without importing the package.

    Args:
        module: the package's module.
        name: the file's path in it.
        package, who: as of `load_extra`.
    Raises:
        ConfigError: the package is not installed, or has no such file.
    """
    spec = importlib.util.find_spec(module)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / name
        if path.is_file():
            return path
    raise ConfigError(_missing(package, who, f"no file {name} of a module {module}"))


def _missing(package: str, who: str, why: str) -> str:
    return f"{who} needs the package {package} ({why}); pip install -e '.[web]', or leave the rule out"


def version_of(package: str) -> str:
    """Return the version of an installed package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"clean: a rule needs the package {package}; pip install -e '.[web]', or leave the rule out"
        ) from error
