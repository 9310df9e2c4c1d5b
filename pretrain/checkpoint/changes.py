"""What of a run differs from what was saved, key by key, with a verdict each: one table, whoever shows it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from foundation.errors import nearest
from foundation.files import canonical_json
from foundation.text import one_line
from pretrain.checkpoint.errors import ResumeRefused
from pretrain.checkpoint.rules import Class, covers, rule_of
from pretrain.journal import CHANGE

ABSENT = "nothing"
ALLOW = "allow_change"
_SHOWN_CHARS = 80  # of a value in the table
_HEAD = ("key", "saved", "now", "verdict")


@dataclass(frozen=True, slots=True)
class Change:
    """One key that differs.

    Attributes:
        key: in full. saved, now: JSON of both values, ABSENT where there is none.
        kind: what its rule says. allowed: whether allow_change covers it, now or when the run went on with it; counts
            where the rule asks for it.
        then: what the change does, in words.
    """

    key: str
    saved: str
    now: str
    kind: Class
    allowed: bool
    then: str

    @property
    def may_go_on(self) -> bool:
        return self.kind is Class.FREE or (self.kind is Class.ASKS and self.allowed)

    @property
    def matters(self) -> bool:
        """Whether it changes what is computed: such a change is journaled."""
        return self.may_go_on and bool(self.then)

    @property
    def verdict(self) -> str:
        if self.kind is Class.ASKS:
            told = "allowed by allow_change" if self.allowed else f"needs allow_change=[{self.key}]"
        else:
            told = self.kind.value
        return f"{told}: {self.then}" if self.then else told


def leaves(tree: Any, key: str = "") -> dict[str, str]:
    """Return full key -> JSON of every value that is no mapping: false is not 0, but 1.0 is 1."""
    if not isinstance(tree, dict) or (key and not tree):
        return {key: canonical_json(_plain(tree)).decode()}
    found: dict[str, str] = {}
    for name, value in tree.items():
        found |= leaves(value, f"{key}.{name}" if key else str(name))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() else value if math.isfinite(value) else str(value)
    return value


def compare(
    saved: dict[str, str], now: dict[str, str], allowed: list[str], accepted: dict[str, str] | None = None
) -> list[Change]:
    """Return every key whose value differs, by name.

    Args:
        saved, now: as `leaves` gives them.
        allowed: keys and groups that may differ: allow_change.
        accepted: values that the run has gone on with since it was saved: they need not be allowed again.
    Raises:
        ResumeRefused: one of `allowed` is no key or group of any of them.
    """
    known = {*saved, *now, *(accepted or {})}
    known |= {".".join(key.split(".")[:length]) for key in known for length in range(1, key.count(".") + 1)}
    # a key of an option that was left since: the same line is typed again
    typed = {entry for side in (saved, accepted or {}) for entry in orjson.loads(side.get(ALLOW, "[]")) or []}
    for entry in allowed:
        if entry not in known | typed:
            raise ResumeRefused(
                f"allow_change: {entry!r} is no key of this run{nearest(entry, known)}; give full keys or groups"
            )
    found = []
    for key in sorted(saved.keys() | now.keys()):
        rule = rule_of(key)
        if rule.kind is not Class.UNSEEN and saved.get(key) != now.get(key):
            is_accepted = accepted is not None and key in accepted and accepted[key] == now.get(key)
            is_allowed = is_accepted or any(covers(entry, key) for entry in allowed)
            values = (saved.get(key, ABSENT), now.get(key, ABSENT))
            found.append(Change(key, *values, rule.kind, is_allowed, rule.then))
    return found


def refusal(changes: list[Change], allowed: list[str]) -> str:
    """Return what is told where a run can't go on: the whole table and what to type; empty where it can."""
    if all(change.may_go_on for change in changes):
        return ""
    asks = f"allow_change=[{','.join(to_type(changes, allowed))}]"
    is_refused = any(change.kind is Class.REFUSED for change in changes)
    waits = any(change.kind is Class.ASKS and not change.allowed for change in changes)
    anew = "choose another run_name=, or start anew with resume=never (the old folder is kept)"
    if is_refused:
        rest = f" (the others go on with {asks})" if waits else ""
        advice = f"set back what is refused{rest}; or {anew}"
    else:
        advice = f"to go on so: {asks}; or {anew}"
    return f"{table(changes)}\n{advice}"


def to_type(changes: Iterable[Change], allowed: list[str]) -> list[str]:
    """Return what allow_change has to hold: what it does, and each key that waits; of another option, the group."""
    waiting = [change.key for change in changes if change.kind is Class.ASKS and not change.allowed]
    groups = [key.removesuffix("._target_") for key in waiting if key.endswith("._target_")]
    whole = {key: next((group for group in groups if covers(group, key)), key) for key in waiting}
    return list(dict.fromkeys([*allowed, *(whole[key] for key in waiting)]))


def table(changes: Iterable[Change]) -> str:
    """Return the changes as lines of a table, aligned; what a file may have put into them is made visible."""
    rows = [_HEAD, *((change.key, _cut(change.saved), _cut(change.now), change.verdict) for change in changes)]
    shown = [[one_line(text) for text in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(_HEAD) - 1)]
    padded = ([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]] for row in shown)
    return "\n".join(f"  {'  '.join(row)}" for row in padded)


def journal_lines(changes: Iterable[Change], step: int, afresh: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Return a line of the journal for each change that matters.

    Args:
        step: that the run goes on from.
        afresh: group of the config -> which state of it begins anew.
    """
    return [
        {
            "event": CHANGE,
            "step": step,
            "key": change.key,
            "old": _value(change.saved),
            "new": _value(change.now),
            "afresh": afresh.get(change.key.partition(".")[0], []),
        }
        for change in changes
        if change.matters
    ]


def is_left_behind(line: dict[str, Any], lines: list[dict[str, Any]], step: int) -> bool:
    """Return whether a line of the journal tells of a change that the run, going on from `step`, has not made.

    Args:
        line: of the journal.
        lines: what `journal_lines` gives now.
        step: that the run goes on from: the checkpoint there was saved before the changes of its own step.
    """
    return line.get("event") == CHANGE and int(line["step"]) >= step and line not in lines


def _value(text: str) -> Any:
    return None if text == ABSENT else orjson.loads(text)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
