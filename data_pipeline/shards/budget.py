"""What a source reads in a training run by a budget of its own, in place of a weight: tokens or epochs."""

from __future__ import annotations

import math
from typing import Any

UNITS = ("tokens", "epochs")
MAX_AMOUNT = 1 << 53  # above it a float, as which configs write such numbers, skips whole ones; far above any corpus
ALLOWED = "one of tokens and epochs with a number above 0, up to 2^53, e.g. {epochs: 2} or {tokens: 3.0e+9}"


def is_budget(value: Any) -> bool:
    """Return whether a value, as a config or a manifest holds it, is a budget: one unit, above 0 and up to 2^53."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((unit, amount),) = value.items()
    return unit in UNITS and is_weight(amount) and 0 < amount <= MAX_AMOUNT


def is_weight(value: Any) -> bool:
    """Return whether a value, as a config holds it, can be a weight: a finite number of at least 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
