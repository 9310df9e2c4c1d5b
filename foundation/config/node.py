"""A checked part of the config: what will be built, and with which values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Node(Generic[T]):
    """A target with its arguments, checked and not yet built.

    Attributes:
        key: full key in the config, for messages.
        raw: the plain tree it came from, for hashes and records.
        target: the class or function.
        values: its arguments by name, nested nodes inside.
    """

    key: str
    target: Callable[..., T]
    values: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
