"""The plain config of rules as hashes take it: without what decides alone, with the order where that decides."""

from __future__ import annotations

import sys
from typing import Any


def measured(raw: Any) -> Any:
    """Return a rule's plain config without the arguments that only decide: what texts and scores depend on; as of
    `in_order`."""
    return _told(raw, is_decided=False)


def in_order(raw: Any) -> Any:
    """Return a plain config with lists of [key, value] in place of the mappings of which the order decides, as hashes
    of a config know of no other order."""
    return _told(raw, is_decided=True)


def _told(raw: Any, is_decided: bool) -> Any:
    if isinstance(raw, list):
        return [_told(value, is_decided) for value in raw]
    if not isinstance(raw, dict):
        return raw
    module, _, name = str(raw.get("_target_", "")).rpartition(".")
    target = getattr(sys.modules.get(module), name, None)
    left_out: frozenset[str] = frozenset() if is_decided else getattr(target, "decide_alone", frozenset())
    told = {key: _told(value, is_decided) for key, value in raw.items() if key not in left_out}
    ordered: frozenset[str] = getattr(target, "ordered", frozenset())
    return {
        key: list(map(list, value.items())) if key in ordered and isinstance(value, dict) else value
        for key, value in told.items()
    }
