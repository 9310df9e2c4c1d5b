"""Precision and recall of rules on texts of which people have said what should become of them."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data_pipeline.clean.empty import EMPTY, without_words
from data_pipeline.clean.rules import Rule
from foundation.errors import InputError

CHANGES = "changes"  # the name of what `judge_changes` judges
Edit = tuple[int, int, tuple[str, ...]]  # of words: first, last, what they become


@dataclass(frozen=True, slots=True)
class Judged:
    """How a rule did.

    Attributes:
        name: a reason, or `changes`.
        hits: documents that should go for it and do; words that should change so and do.
        false_alarms: that do, and should not.
        missed: that should, and do not.
    """

    name: str
    hits: int
    false_alarms: int
    missed: int

    @property
    def precision(self) -> float:
        """Share of what was found that should be; NaN where nothing was."""
        return self.hits / found if (found := self.hits + self.false_alarms) else math.nan

    @property
    def recall(self) -> float:
        """Share of what should be found that was; NaN where there is nothing."""
        return self.hits / wanted if (wanted := self.hits + self.missed) else math.nan

    def __str__(self) -> str:
        return (
            f"{self.name}: precision {self.precision:.3f}, recall {self.recall:.3f} "
            f"({self.hits} right, {self.false_alarms} false, {self.missed} missed)"
        )


def judge_removals(rule: Rule, batch: pa.RecordBatch, expected: Sequence[str | None]) -> list[Judged]:
    """Return how a rule decides, by reason.

    Args:
        batch: documents, with documents.SCHEMA.
        expected: of each the reason for which it should go; None: it should stay.
    Raises:
        InputError: a document can't be read by the rule.
    """
    applied = rule.apply(batch)
    if applied.failed:
        raise InputError("labelled documents: the rule can't read one of them, so it has no verdict; leave it out")
    found: list[str | None] = [None] * batch.num_rows
    for removal in (each for removals in rule.decide(applied.scores) for each in removals):
        found[removal.position] = removal.reason
    for position in np.flatnonzero(without_words(applied.batch.column("text"))):  # as the pipeline does, for any rules
        found[position] = EMPTY
    hits, false_alarms, missed = Counter[str](), Counter[str](), Counter[str]()
    for wanted, got in zip(expected, found, strict=True):
        if got == wanted:
            hits.update([got] if got else [])
            continue
        false_alarms.update([got] if got else [])
        missed.update([wanted] if wanted else [])
    reasons = sorted({*hits, *false_alarms, *missed})
    return [Judged(reason, hits[reason], false_alarms[reason], missed[reason]) for reason in reasons]


def out_of_reach(rule: Rule, expected: Sequence[str | None]) -> list[str]:
    """Return a line for each reason for which nothing can go: no rule gives it, or its limit is not set. A document
    without words goes whatever the rules.

    Args:
        expected: as of `judge_removals`.
    """
    limits = [
        (reason, key, math.isfinite(threshold))
        for limit in rule.limits
        for reason, key, threshold in (
            (limit.below, limit.least_key, limit.least),
            (limit.above, limit.most_key, limit.most),
        )
        if reason
    ]
    limits += [(choice.reason, choice.key, choice.wanted is not None) for choice in rule.choices]
    lines = []
    for wanted in sorted({each for each in expected if each} - {EMPTY}):
        mine = [(key, is_set) for reason, key, is_set in limits if reason == wanted]
        keys = " or ".join(f"clean.{key}" for key, _ in mine if key)
        if not mine:
            given = ", ".join(dict.fromkeys(reason for reason, _, is_set in limits if is_set)) or "none"
            said = f"no limit of these rules gives this reason (they give {given})"
            lines.append(f"{wanted}: {said}; label texts by these, or add its rule")
        elif not any(is_set for _, is_set in mine):
            lines.append(f"{wanted}: nothing can go for it yet: {keys or 'its limit'} is null; set one to judge it")
    return lines


def judge_changes(rule: Rule, batch: pa.RecordBatch, expected: Sequence[str]) -> Judged:
    """Return how a rule changes texts: each run of words (`str.split()`) that changes counts once.

    Args:
        batch: documents, with documents.SCHEMA.
        expected: what each text should become.
    Raises:
        InputError: a document can't be read by the rule.
    """
    applied = rule.apply(batch)
    if applied.failed:
        raise InputError("labelled documents: the rule can't read one of them, so it changes none; leave it out")
    hits = false_alarms = missed = 0
    texts, written = batch.column("text").to_pylist(), applied.batch.column("text").to_pylist()
    for before, after, wanted in zip(texts, written, expected, strict=True):
        got, right = _edits(before, after), _edits(before, wanted)
        hits += len(got & right)
        false_alarms += len(got - right)
        missed += len(right - got)
    return Judged(CHANGES, hits, false_alarms, missed)


def _edits(before: str, after: str) -> set[Edit]:
    """Return which words of a text become others."""
    old, new = before.split(), after.split()
    if len(old) == len(new):
        return {(place, place + 1, (word,)) for place, word in enumerate(new) if word != old[place]}
    codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return {(first, last, tuple(new[start:stop])) for tag, first, last, start, stop in codes if tag != "equal"}
