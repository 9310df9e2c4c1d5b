"""The seat of `clean=`: rules change the text of documents or take documents out, one batch at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from data_pipeline.documents import Removal


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a rule, or all of them, made of a batch.

    Attributes:
        batch: the documents that stay, with documents.SCHEMA, in their order.
        removals: why the others went, by position in the batch that was given.
        changed: how often the text was changed, by kind, e.g. `control_characters_dropped`.
    """

    batch: pa.RecordBatch
    removals: list[Removal] = field(default_factory=list)
    changed: Counter[str] = field(default_factory=Counter)


class Rule(ABC):
    """What `clean=` builds, one rule or several: it changes texts, or takes documents out with a reason.

    A rule of your own, in a file `my_rules.py` beside the command:

        from data_pipeline.clean.rules import Cleaned, Rule, without
        from data_pipeline.documents import Removal

        class NoLorem(Rule):
            def apply(self, batch):
                texts = enumerate(batch.column("text").to_pylist())
                return without(batch, [Removal(position, "lorem") for position, text in texts if "lorem" in text])

        python -m data_pipeline extra_targets='[my_rules.]' '+clean.rules.mine={_target_:my_rules.NoLorem}'

    Its constructor's arguments are its settings. When they or its code change, cleaning is done again.
    """

    @abstractmethod
    def apply(self, batch: pa.RecordBatch) -> Cleaned:
        """Apply the rule. Pure: a document's fate depends on nothing but the document.

        Args:
            batch: documents, with documents.SCHEMA.
        """


class NoClean(Rule):
    """Takes every document as it is."""

    def apply(self, batch: pa.RecordBatch) -> Cleaned:
        return Cleaned(batch)


class Rules(Rule):
    """Rules in the order in which they are named; a document that one takes out is not seen by the next.

    Args:
        rules: label -> rule; labels only serve to name config keys, e.g. `clean.rules.length.min_words=5`.
    """

    def __init__(self, rules: dict[str, Rule]) -> None:
        self._rules = rules

    def apply(self, batch: pa.RecordBatch) -> Cleaned:
        positions = np.arange(batch.num_rows)  # of the documents that are left, in the batch that was given
        removals: list[Removal] = []
        changed: Counter[str] = Counter()
        for rule in self._rules.values():
            cleaned = rule.apply(batch)
            removals += [replace(each, position=int(positions[each.position])) for each in cleaned.removals]
            positions = np.delete(positions, [each.position for each in cleaned.removals])
            batch = cleaned.batch
            changed += cleaned.changed
        return Cleaned(batch, sorted(removals, key=lambda removal: removal.position), changed)


def without(batch: pa.RecordBatch, removals: list[Removal]) -> Cleaned:
    """Return the batch without the documents of `removals`."""
    if not removals:
        return Cleaned(batch)
    stays = np.ones(batch.num_rows, dtype=bool)
    stays[[removal.position for removal in removals]] = False
    return Cleaned(batch.filter(pa.array(stays)), removals)


def with_text(batch: pa.RecordBatch, texts: pa.LargeStringArray) -> pa.RecordBatch:
    """Return the batch with other texts."""
    return batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), texts)
