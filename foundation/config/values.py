"""One value against one type hint."""

from __future__ import annotations

import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from foundation.config.node import Node
from foundation.errors import ConfigError, nearest

# names by which other tools know a value of ours
OTHER_VALUES = {"gpt4": "cl100k", "gpt-4": "cl100k", "llama3": "cl100k", "llama-3": "cl100k"}
SHORT = re.compile(r"([0-9]+\.?[0-9]*)([kKmMbBgG])")  # 50k
MAX_DIGITS = 24  # of a number that is refused anyway
THOUSANDS = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9}


@dataclass(frozen=True, slots=True)
class Context:
    """What a check carries along. `check_node` is here because nodes hold values and values hold nodes."""

    allowed: tuple[str, ...]
    derived: dict[str, str]
    runtime: Set[str]
    keys: tuple[str, ...]  # full keys of the whole config
    check_node: Callable[[Any, Any, str, Context], Node[Any]]


def join(key: str, name: str) -> str:
    """Return the full key of `name` below `key`."""
    return f"{key}.{name}" if key else name


def convert(value: Any, hint: Any, key: str, context: Context, example: Any = None) -> Any:
    """Return `value` as the hint asks.

    Lists become tuples, ints floats, strings paths where the hint says so; a string where a list of strings is expected
    counts as a list of one. Nothing else is converted: "10" is no number and true is no 1.

    Args:
        value: as the config has it.
        hint: what the signature asks for.
        key: full key, for messages.
        example: a value that fits, the parameter's default; of another type it is not shown.
    Raises:
        ConfigError: names the key, what was found and what is allowed.
    """
    origin = typing.get_origin(hint)
    if hint is Any or isinstance(hint, typing.TypeVar):
        return value
    if origin is Literal:
        return _one_of(value, typing.get_args(hint), key)
    if origin in (typing.Union, types.UnionType):
        return _union(value, typing.get_args(hint), key, context, example)
    if origin in (list, tuple):
        return _sequence(value, hint, key, context)
    if origin is dict or hint is dict:
        return _mapping(value, hint, key, context)
    if origin is Node or hint is Node:
        return context.check_node(value, (typing.get_args(hint) or (Any,))[0], key, context)
    return _plain(value, hint, key, context, example)


def _plain(value: Any, hint: Any, key: str, context: Context, example: Any) -> Any:
    if type(value) is int and not -(2**63) <= value < 2**63:  # JSON, tensors and random generators hold no more
        digits = str(value)
        shown = digits if len(digits) <= MAX_DIGITS else f"{digits[:MAX_DIGITS]}..."
        raise ConfigError(f"{key}: {shown} is beyond 64 bits; give a number from -2^63 to 2^63 - 1")
    if hint is None or hint is type(None):
        fits = value is None
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _number(float(value), key)
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif hint in (bool, int, str, float, list):
        fits = type(value) is hint
    elif inspect.isclass(hint):
        return context.check_node(value, hint, key, context)
    else:
        fits = True  # a hint this check knows nothing of, such as Callable
    if not fits:
        raise ConfigError(f"{key}: {_found(value)} is not {describe(hint)}{_hint_for(value, hint, example)}")
    return value


def _number(value: float, key: str) -> float:
    if math.isnan(value):
        raise ConfigError(f"{key}: NaN is not a number; give a number")
    return value


def _hint_for(value: Any, hint: Any, example: Any) -> str:
    if hint in (int, float) and isinstance(value, str):
        if value.lower() in ("nan", "inf", "-inf"):
            return "; YAML reads this as a word"
        if short := SHORT.fullmatch(value):
            return f"; write {float(short[1]) * THOUSANDS[short[2].lower()]:.0f}"
        if type(example) is hint:
            return f"; such as {example}, without quotes"
        return "; such as 3" if hint is int else "; such as 0.001 or 1e-3, without quotes"
    if hint is int and isinstance(value, float) and value.is_integer():
        return f"; write {value:.0f}"
    if hint is str and isinstance(value, bool | int | float):
        return f"; put it in quotes, on a command line in two kinds: '\"{str(value).lower()}\"'"
    return ""


def _one_of(value: Any, allowed: tuple[Any, ...], key: str) -> Any:
    if not any(type(value) is type(choice) and value == choice for choice in allowed):
        known = OTHER_VALUES.get(value.lower(), value) if isinstance(value, str) else ""
        near = nearest(known, [choice for choice in allowed if isinstance(choice, str)])
        raise ConfigError(f"{key}: {_found(value)} is not one of {', '.join(map(repr, allowed))}{near}")
    return value


def _union(value: Any, hints: tuple[Any, ...], key: str, context: Context, example: Any) -> Any:
    if value is None and type(None) in hints:
        return None
    concrete = [hint for hint in hints if hint is not type(None)]
    errors = []
    for hint in sorted(concrete, key=lambda hint: hint is float):  # an int stays an int where int is allowed too
        try:
            return convert(value, hint, key, context, example)
        except ConfigError as error:
            errors.append(error)
    if len(concrete) == 1:
        raise errors[0]
    raise ConfigError(f"{key}: {_found(value)} is not {' or '.join(describe(hint) for hint in hints)}")


def _sequence(value: Any, hint: Any, key: str, context: Context) -> Any:
    arguments = typing.get_args(hint)
    is_list = typing.get_origin(hint) is list
    if isinstance(value, str) and (is_list or arguments[-1:] == (...,)):
        value = [value]
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{key}: {_found(value)} is not {describe(hint)}")
    if is_list or arguments[-1:] == (...,):
        hints = [arguments[0]] * len(value)
    elif len(arguments) != len(value):
        raise ConfigError(f"{key}: {len(value)} values, {_found(value)}, where {describe(hint)} needs {len(arguments)}")
    else:
        hints = list(arguments)
    items = [
        convert(item, each, join(key, str(i)), context) for i, (item, each) in enumerate(zip(value, hints, strict=True))
    ]
    return items if is_list else tuple(items)


def _mapping(value: Any, hint: Any, key: str, context: Context) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{key}: {_found(value)} is not {describe(hint)}")
    _, each = typing.get_args(hint) or (str, Any)
    for name in value:
        if not isinstance(name, str):
            raise ConfigError(f"{key}: the key {name!r} is a {type(name).__name__}, not text; quote it")
    return {name: convert(item, each, join(key, name), context) for name, item in value.items()}


def _found(value: Any) -> str:
    text = repr(value)
    return f"{text[:80]}{'...' if len(text) > 80 else ''} ({type(value).__name__})"


def describe(hint: Any) -> str:
    """Return a type hint in the words of a message: `an integer`, `a list of text`, ..."""
    words: dict[Any, str] = {int: "an integer", float: "a number", str: "text", bool: "true or false", Any: "values"}
    words |= {type(None): "null", None: "null"}
    if hint in words:
        return words[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return f"a list of {describe(arguments[0])}"
    if origin is tuple and arguments[-1:] == (...,):
        return f"a list of {describe(arguments[0])}"
    if origin is tuple:
        return f"a list of {', '.join(describe(argument) for argument in arguments)}"
    if origin is dict:
        return f"a mapping of names to {describe(arguments[1])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    return getattr(hint, "__qualname__", str(hint))
