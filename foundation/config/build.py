"""Nodes to objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from foundation.config.node import Node
from foundation.errors import ConfigError, SettingError

T = TypeVar("T")


def build(node: Node[T], **runtime: Any) -> T:
    """Call the node's target with its values, nested nodes built first.

    Args:
        node: as `check` returned it.
        runtime: objects by parameter name, whose names `check` was told; each target gets those that its signature
            names, untouched.
    Returns:
        What the target returns.
    Raises:
        ConfigError: a value that the target can't work with; names its full key.
    """
    names = inspect.signature(node.target).parameters
    values = {name: _build_inside(value, runtime) for name, value in node.values.items()}
    given = {name: value for name, value in runtime.items() if name in names}
    try:
        return node.target(**values, **given)
    except SettingError as error:
        raise ConfigError(f"{node.key}.{error}") from error


def rehearse(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Build all that a call would, and call nothing: a value that a class refuses is refused now.

    Args:
        arguments: for `function`, as `check` returned them.
    Returns:
        All of its arguments, the defaults of those that were not given among them, nodes built.
    Raises:
        ConfigError: as `build`.
    """
    bound = inspect.signature(function).bind(**arguments)
    bound.apply_defaults()
    return {name: _build_inside(value, {}) for name, value in bound.arguments.items()}


def _build_inside(value: Any, runtime: dict[str, Any]) -> Any:
    if isinstance(value, Node):
        return build(value, **runtime)
    if isinstance(value, dict):
        return {key: _build_inside(item, runtime) for key, item in value.items()}
    if isinstance(value, list):
        return [_build_inside(item, runtime) for item in value]
    return value
