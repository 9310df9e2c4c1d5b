"""The plain tree of a config against the signatures of what it configures."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Set
from typing import Any

from foundation.config.node import Node
from foundation.config.secrets import NONE, refuse_secrets
from foundation.config.suggest import NoObjectError, is_slip, keys_of, suggest
from foundation.config.targets import DEFAULT_TARGETS, resolve
from foundation.config.values import Context, convert, join
from foundation.errors import ConfigError, UnknownKeyError

MISSING = "???"  # OmegaConf's mark of a value that the user must give
RESOLVER = re.compile(r"\$\{[^}]*:")


def check(
    tree: dict[str, Any],
    schema: Callable[..., Any],
    allowed: tuple[str, ...] = DEFAULT_TARGETS,
    derived: dict[str, str] | None = None,
    runtime: Set[str] = frozenset(),
    signed: re.Pattern[str] = NONE,
) -> dict[str, Any]:
    """Compare a whole config with the signature of the function it is for.

    Args:
        tree: plain dicts, lists and scalars, interpolations resolved.
        schema: its parameters, positional-only ones aside, are the top-level keys; `Node[Seat]` asks for a `_target_`
            that is a Seat.
        allowed: module prefixes a `_target_` may come from.
        derived: full key -> what to set instead, for keys that users look for and that are computed.
        runtime: parameters that `build` will be handed, which no node may set.
        signed: full keys of addresses that may have a secret in their query, as of `refuse_secrets`.
    Returns:
        The arguments for `schema`: nodes where it asks for them, lists turned to tuples, ints to floats.
    Raises:
        ConfigError: the first key that is unknown, missing or of a wrong type; with what is allowed. One that holds a
            secret: a config is written to files.
    """
    refuse_secrets(tree, signed=signed)
    keys = tuple(keys_of(tree))
    context = Context(allowed=allowed, derived=derived or {}, runtime=runtime, keys=keys, check_node=check_node)
    return check_arguments(tree, schema, "", context)


def check_node(value: Any, seat: Any, key: str, context: Context) -> Node[Any]:
    """Check one node, `{_target_: ..., argument: value}`.

    Args:
        value: the plain node.
        seat: the class that the target must be or return.
        key: full key of the node.
    Raises:
        ConfigError: as in `check`.
    """
    assert seat is not Any, f"{key}: its Node names no seat, so that any class of ours would be called"
    if not isinstance(value, dict) or "_target_" not in value:
        raise NoObjectError(key, value)
    target = resolve(value["_target_"], key, context.allowed)
    made = _made_by(target)
    if not (inspect.isclass(made) and issubclass(made, seat)):
        raise ConfigError(f"{key}._target_: {value['_target_']!r} is not a {seat.__module__}.{seat.__qualname__}")
    if inspect.isabstract(target):
        raise ConfigError(f"{key}._target_: {value['_target_']!r} is abstract; name one of its subclasses")
    arguments = {name: item for name, item in value.items() if name != "_target_"}
    return Node(key, target, check_arguments(arguments, target, key, context), value)


def check_arguments(given: dict[str, Any], target: Callable[..., Any], key: str, context: Context) -> dict[str, Any]:
    """Check the keys and values for a call of `target`; return the values converted."""
    parameters = inspect.signature(target).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    given_later = context.runtime if key else frozenset()  # at the top a group may have such a name: `model`
    settable = [
        name for name, each in parameters.items() if name not in given_later and each.kind is not each.POSITIONAL_ONLY
    ]
    for name in given:
        _check_name(name, key, settable, open_ended, context)
    values = {}
    for name, parameter in parameters.items():
        if name not in settable or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        full = join(key, name)
        hint = hint_of(target, name)
        if name not in given and parameter.default is parameter.empty:
            raise ConfigError(f"{full}: missing; set {full}=")
        if name in given:
            if given[name] == MISSING:
                raise ConfigError(f"{full}: needs a value and has none yet; set {full}=")
            values[name] = convert(given[name], hint, full, context, parameter.default)
    extra = {name: value for name, value in given.items() if name not in values}
    return values | extra


def hint_of(target: Callable[..., Any], name: str) -> Any:
    """Return the type hint of one parameter, resolved alone: others may exist for type checkers only."""
    # its own constructor or one that it inherits; a class with neither has its arguments as annotations
    function = target.__init__ if inspect.isclass(target) and target.__init__ is not object.__init__ else target
    annotations = getattr(function, "__annotations__", {})
    if name not in annotations:
        return Any
    holder = type("holder", (), {"__annotations__": {name: annotations[name]}})
    module = inspect.getmodule(function)
    return typing.get_type_hints(holder, globalns=vars(module) if module else None)[name]


def refuse_resolvers(tree: Any, key: str = "") -> None:
    """Refuse `${resolver:...}` in an unresolved tree: a config computes nothing and reads no environment.

    Raises:
        ConfigError: names the key.
    """
    if isinstance(tree, dict):
        for name, value in tree.items():
            refuse_resolvers(value, join(key, str(name)))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            refuse_resolvers(value, join(key, str(index)))
    elif isinstance(tree, str) and RESOLVER.search(tree):
        raise ConfigError(f"{key}: {tree!r} uses a resolver; only references such as ${{name}} are allowed")


def _made_by(target: Callable[..., Any]) -> Any:
    return target if inspect.isclass(target) else typing.get_type_hints(target).get("return")


def _check_name(name: Any, key: str, settable: list[str], open_ended: bool, context: Context) -> None:
    full = join(key, str(name))
    if full in context.derived:
        raise ConfigError(f"{full}: is derived, never set; {context.derived[full]}")
    if name in context.runtime and key:
        raise ConfigError(f"{full}: is given at run time and can't be configured; remove it")
    if not isinstance(name, str) or name.startswith("_") or (name not in settable and not open_ended):
        allowed = ", ".join(settable) or "nothing"
        meant = suggest(full, settable, context.keys)
        raise UnknownKeyError(
            full,
            f"unknown key{meant}; allowed here: {allowed}",
            has_guess=bool(meant),
            is_slip=is_slip(str(name), settable),
        )
