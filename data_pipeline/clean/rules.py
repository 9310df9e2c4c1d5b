"""The seat of `clean=`: a rule changes texts, or measures documents and says by its limits which of them go."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from data_pipeline.clean.empty import EMPTY, without_words
from data_pipeline.documents import Removal, Removals
from foundation.errors import SettingError, require

Scores = dict[str, np.ndarray]  # name -> (documents,) float64; NaN where there is nothing to measure
MAX_LOSS = "max_loss_frac"
NOBODY = -1
EXAMPLES = 8  # of each kind of change that are kept of a batch


class Group(NamedTuple):
    """The documents that a limit holds for, where it is not all.

    Attributes:
        score: another score, a label.
        value: theirs.
        name: what people call them.
    """

    score: str
    value: float
    name: str


@dataclass(frozen=True, slots=True)
class Limit:
    """What a score may be, both ends included. A document outside goes; one whose score is NaN stays.

    Attributes:
        score: its name.
        least, most: the limits; infinite where there is none yet.
        below, above: the reason of a document that goes, one word each; empty where that side can have no limit.
        least_key, most_key: the rule's arguments that set them, for people who want other ones; with `where` the
            argument is a dict by the group's name. Empty where no argument does.
        where: whom it holds for; None: all.
    """

    score: str
    least: float = -math.inf
    most: float = math.inf
    below: str = ""
    above: str = ""
    least_key: str = ""
    most_key: str = ""
    where: Group | None = None

    @classmethod
    def at_most(cls, score: str, most: float, key: str) -> Limit:
        """Return a limit from above whose reason has the name of the score."""
        return cls(score, most=float(most), above=score, most_key=key)

    @classmethod
    def at_least(cls, score: str, least: float, key: str) -> Limit:
        """Return one from below."""
        return cls(score, least=float(least), below=score, least_key=key)

    def values(self, scores: Scores) -> np.ndarray:
        """Return the score of each document that the limit holds for, (documents,) float64; NaN for the others."""
        values = scores[self.score]
        return values if self.where is None else np.where(scores[self.where.score] == self.where.value, values, np.nan)

    def within(self, key: str) -> Limit:
        """Return the limit of a rule that is itself the argument `key` of another one."""
        least, most = (each and f"{key}.{each}" for each in (self.least_key, self.most_key))
        return replace(self, least_key=least, most_key=most)


@dataclass(frozen=True, slots=True)
class Choice:
    """A score that is a label: which labels are wanted. A document of another goes; one whose label is NaN stays.

    Attributes:
        score: its name; a label is a place in `names`.
        names: of the labels.
        wanted: places in `names`; None: all.
        reason: of a document that goes, one word.
        measure: another score, shown as its value: how sure the label is.
        key: the rule's argument that sets what is wanted: a list of names.
    """

    score: str
    names: tuple[str, ...]
    wanted: frozenset[int] | None
    reason: str
    measure: str
    key: str = ""

    def unwanted(self, scores: Scores) -> np.ndarray:
        """Return the positions of the documents that go, (m,) int64."""
        labels = scores[self.score]
        if self.wanted is None:
            return np.zeros(0, np.int64)
        return np.flatnonzero(~np.isnan(labels) & ~np.isin(labels, sorted(self.wanted)))


class Example(NamedTuple):
    """One change of a text, for people. Attributes: kind: as in `Applied.changed`; row: the document's."""

    kind: str
    row: int
    before: str
    after: str


def few_of(examples: list[Example]) -> list[Example]:
    """Return at most EXAMPLES of each kind, the first ones, by kind."""
    kept: list[Example] = []
    for kind in sorted({each.kind for each in examples}):
        kept += [each for each in examples if each.kind == kind][:EXAMPLES]
    return kept


class Failed(NamedTuple):
    """A document that a rule could not read: it goes to quarantine. Attributes: position: in the batch given."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Applied:
    """What a rule, or all of them, made of a batch.

    Attributes:
        batch: the documents given, with documents.SCHEMA, in their order, those of `failed` left out.
        scores: what was measured of each document of `batch`.
        changed: how often texts were changed, by kind, e.g. `control_characters_dropped`.
        examples: some of the changes, at most EXAMPLES of a kind.
        failed: documents that can't be read.
        emptied_by: position in `batch` -> label of the rule that took the last word of its text, where that is known;
            texts that came without a word are none of these.
    """

    batch: pa.RecordBatch
    scores: Scores = field(default_factory=dict)
    changed: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    emptied_by: dict[int, str] = field(default_factory=dict)


class Rule(ABC):
    """What `clean=` builds, one rule or several.

    Rules change texts and measure documents; none takes one out. What goes is decided afterwards, by the scores that
    were stored and `limits` alone: another limit is another decision, and no text is read again for it.

    A rule of your own, in a file `my_rules.py` beside the command:

        import numpy as np
        from data_pipeline.clean.rules import Applied, Limit, Rule

        class Lorem(Rule):
            limits = (Limit("lorem", most=0, above="lorem"),)

            def apply(self, batch):
                texts = batch.column("text").to_pylist()
                return Applied(batch, {"lorem": np.array([text.count("lorem") for text in texts], float)})

        python -m data_pipeline extra_targets='[my_rules.]' '+clean.rules.mine={_target_:my_rules.Lorem}'

    Its constructor's arguments are its settings. When they or its code change, cleaning is done again; when only those
    named in `decide_alone` do, the decision is.

    Attributes:
        choices, limits: on its scores; of several that a document breaks the first is its reason, choices first.
        decide_alone: arguments of its constructor that change no text and no score.
        ordered: those that are mappings of which the order of the keys decides, too.
        max_loss_frac: the run stops where one rule takes more of a source's documents.
        owners: reason -> key of the rule that gives it, e.g. `rules.gopher`, of a rule that holds others; the reasons
            of one count together against `max_loss_frac`, a reason that is not named here counts by itself.
    """

    limits: tuple[Limit, ...] = ()
    choices: tuple[Choice, ...] = ()
    decide_alone: ClassVar[frozenset[str]] = frozenset()
    ordered: ClassVar[frozenset[str]] = frozenset()
    max_loss_frac: float = 1.0
    owners: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def apply(self, batch: pa.RecordBatch) -> Applied:
        """Change and measure. Pure: what becomes of a document depends on nothing but the document.

        Args:
            batch: documents, with documents.SCHEMA.
        """

    def packages(self) -> list[str]:
        """Return the packages of an extra that it uses: with another version of one, cleaning is done again."""
        return []

    def inputs(self) -> list[Path]:
        """Return the files whose bytes decide what becomes of texts: when one changes, cleaning is done again.

        Raises:
            GroundworkError: a file is missing or can't be used; asked first, so that no work is done in vain.
        """
        return []

    def decide(self, scores: Scores) -> list[Removals]:
        """Return the documents that go by these scores, each once; `value` is the score, `threshold` its limit."""
        return broken(self.limits, scores, self.choices)


class NoClean(Rule):
    """Takes every document as it is."""

    def apply(self, batch: pa.RecordBatch) -> Applied:
        return Applied(batch)


class Rules(Rule):
    """Rules in the order in which they are named: each sees the texts as the one before left them.

    Every document is measured by every rule, also one that goes: so each limit can be judged by itself. Of the rules
    that a document breaks the first is its reason.

    Args:
        rules: label -> rule; labels only serve to name config keys, e.g. `clean.rules.length.min_words=5`.
        max_loss_frac: the run stops where one rule takes more of a source's documents, for whichever of its reasons,
            and 100 at least.
    Raises:
        SettingError: two rules give a score of one name, or a share that can't be.
    """

    decide_alone = frozenset({"max_loss_frac"})
    ordered = frozenset({"rules"})

    def __init__(self, rules: dict[str, Rule], max_loss_frac: float = 0.5) -> None:
        require(0 < max_loss_frac <= 1, MAX_LOSS, max_loss_frac, "a share above 0, up to 1, which never stops a run")
        self.rules, self.max_loss_frac = rules, max_loss_frac
        labels: dict[str, str] = {}
        for label, rule in rules.items():
            for score in dict.fromkeys(limit.score for limit in rule.limits):
                if score in labels:
                    raise SettingError(
                        f"rules.{label}: its score {score!r} is that of rules.{labels[score]} too; leave one out"
                    )
                labels[score] = label
        of_rules = [(f"rules.{label}", rule) for label, rule in rules.items()]
        self.limits = tuple(limit.within(key) for key, rule in of_rules for limit in rule.limits)
        self.choices = tuple(
            replace(each, key=each.key and f"{key}.{each.key}") for key, rule in of_rules for each in rule.choices
        )
        self.owners = _owners(of_rules)

    def apply(self, batch: pa.RecordBatch) -> Applied:
        left = np.arange(batch.num_rows)  # positions of the documents that could be read, in the batch that was given
        scores: Scores = {}
        changed: Counter[str] = Counter()
        examples: list[Example] = []
        failed: list[Failed] = []
        is_empty = without_words(batch.column("text"))
        emptier = np.full(batch.num_rows, NOBODY)  # of each document the rule that took its last word
        for number, (label, rule) in enumerate(self.rules.items()):
            applied = rule.apply(batch)
            if applied.failed:
                failed += [each._replace(position=int(left[each.position])) for each in applied.failed]
                gone = [each.position for each in applied.failed]
                left, is_empty, emptier = (np.delete(each, gone) for each in (left, is_empty, emptier))
                scores = {name: np.delete(column, gone) for name, column in scores.items()}
            _check(label, rule, applied, len(left), scores)
            if applied.batch is not batch:
                was_empty, is_empty = is_empty, without_words(applied.batch.column("text"))
                emptier[is_empty & ~was_empty] = number
            batch, scores = applied.batch, scores | applied.scores
            changed += applied.changed
            examples += applied.examples
        labels = list(self.rules)
        found = np.flatnonzero(is_empty & (emptier != NOBODY)).tolist()
        emptied_by = {position: labels[emptier[position]] for position in found}
        return Applied(batch, scores, changed, examples, sorted(failed), emptied_by)

    def packages(self) -> list[str]:
        return sorted({package for rule in self.rules.values() for package in rule.packages()})

    def inputs(self) -> list[Path]:
        return [path for rule in self.rules.values() for path in rule.inputs()]

    def decide(self, scores: Scores) -> list[Removals]:
        gone = np.zeros(max(map(len, scores.values()), default=0), bool)
        found: list[Removals] = []
        for rule in self.rules.values():
            for removals in rule.decide(scores):
                fresh = np.flatnonzero(~gone[removals.positions])
                if len(fresh):
                    found.append(removals.rows(fresh))
                    gone[removals.positions] = True
        return found


def _owners(rules: list[tuple[str, Rule]]) -> dict[str, str]:
    """Return reason -> key of the rule that gives it; not of one that several give, and not of EMPTY, as any may."""
    found: dict[str, list[str]] = {}
    for key, rule in rules:
        reasons = {side for limit in rule.limits for side in (limit.below, limit.above) if side}
        for reason in sorted(reasons | {choice.reason for choice in rule.choices}):
            inner = rule.owners.get(reason)
            found.setdefault(reason, []).append(f"{key}.{inner}" if inner else key)
    return {reason: keys[0] for reason, keys in found.items() if len(keys) == 1 and reason != EMPTY}


def broken(limits: tuple[Limit, ...], scores: Scores, choices: tuple[Choice, ...] = ()) -> list[Removals]:
    """Return the documents with a score outside its limit, each for the first such limit, a `Removals` a side of one.

    Args:
        scores: of the same documents, those of `limits` and `choices` among them.
    """
    found: list[Removals] = []
    gone = np.zeros(max(map(len, scores.values()), default=0), bool)
    for choice in choices:
        unwanted = choice.unwanted(scores)
        fresh = unwanted[~gone[unwanted]]
        if len(fresh):
            found.append(Removals(choice.reason, fresh, None, scores[choice.measure][fresh]))
            gone[fresh] = True
    for limit in limits:
        values = limit.values(scores)
        for outside, reason, threshold in (
            (values < limit.least, limit.below, limit.least),
            (values > limit.most, limit.above, limit.most),
        ):
            fresh = outside & ~gone
            if fresh.any():
                positions = np.flatnonzero(fresh)
                found.append(Removals(reason, positions, float(threshold), values[positions]))
                gone |= fresh
    return found


def verdicts(rule: Rule, batch: pa.RecordBatch) -> list[Removal]:
    """Apply a rule to documents, and return which of them go, by position: for tests and notebooks."""
    found = [each for removals in rule.decide(rule.apply(batch).scores) for each in removals]
    return sorted(found, key=lambda removal: removal.position)


def with_text(batch: pa.RecordBatch, texts: pa.LargeStringArray) -> pa.RecordBatch:
    """Return the batch with other texts."""
    return batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), texts)


def _check(label: str, rule: Rule, applied: Applied, num_docs: int, before: Scores) -> None:
    """Raise where a rule, perhaps a user's own, doesn't give what `Applied` says."""
    who = f"clean.rules.{label} ({type(rule).__module__}.{type(rule).__qualname__})"
    if applied.batch.num_rows != num_docs:
        raise SettingError(
            f"{who}: gave back {applied.batch.num_rows} of {num_docs} documents; a rule takes none out: give a score "
            "and a limit, or name it in Applied.failed"
        )
    for name, column in applied.scores.items():
        if name in before:
            raise SettingError(f"{who}: its score {name!r} is also that of another rule; rename it or leave one out")
        if not isinstance(column, np.ndarray) or column.dtype != np.float64 or column.shape != (num_docs,):
            raise SettingError(f"{who}: its score {name!r} is no float64 array of {num_docs} numbers")
    missing = [limit.score for limit in rule.limits if limit.score not in applied.scores]
    if missing:
        raise SettingError(f"{who}: has a limit on {missing[0]!r}, and gives no such score")
