"""Accounts of a source, for tests of what stages take of it."""

from __future__ import annotations

from collections import Counter

from data_pipeline.ledger import Account


def account(num_in: int, dropped: dict[str, int] | None = None, quarantined: dict[str, int] | None = None) -> Account:
    """Return the account of a source that lost so many documents, by reason."""
    gone = Counter(dropped or {}), Counter(quarantined or {})
    return Account(num_in, num_in - gone[0].total() - gone[1].total(), dropped=gone[0], quarantined=gone[1])
