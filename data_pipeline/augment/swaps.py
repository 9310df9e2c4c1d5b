"""Words put in place of others by a table of the user's: synonyms, names, spellings."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.augment.augmentation import Change
from data_pipeline.augment.lots import nth, units
from data_pipeline.clean.edits import edited, rows_of
from data_pipeline.clean.spelling import Spelling
from data_pipeline.clean.word_table import read_table, table_of, words_one
from foundation.errors import SettingError, require

Table = dict[str, dict[str, str]]  # group -> word -> what is put in its place


class Swaps(Change):
    """Replaces words by those that a table names, in the case of the text, as `Spelling` does.

    Args:
        words: word -> other word, or language or domain -> such a mapping.
        path: a file with the table, in its place, in the format of `data_pipeline.clean.word_table`; relative to where
            the command is typed.
        both_ways: whether the other word becomes the first one, too; what the table itself says of a word goes before,
            and of several that become one word the first by alphabet is what that becomes.
        group_key: the key of a record that holds its language or domain; entries of one are for its documents alone.
        group: of documents without one.
        frac: share of the training documents that get copies.
        copies: of each of these.
        rate: share of the words found that are replaced, each by a lot of its own.
        seed: another seed chooses other documents and words.
    Raises:
        SettingError: no table, both a table and a file, an entry or a value that can't work.
    """

    name = "swaps"

    def __init__(
        self,
        words: dict[str, Any] | None = None,
        path: str | None = None,
        both_ways: bool = True,
        group_key: str | None = None,
        group: str | None = None,
        frac: float = 0.1,
        copies: int = 1,
        rate: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(frac, copies, seed)
        require(
            bool(words) != bool(path), "words", words, "a table of words, {good: fine}, or a file with one as `path`"
        )
        require(0 < rate <= 1, "rate", rate, "a share above 0, up to 1")
        require(copies == 1 or rate < 1, "copies", copies, "1 where `rate` is 1: the copies would be equal")
        self._given = None if path else table_of(words, "words")
        self._path = Path(path) if path else None
        self._both_ways, self._group_key, self._group, self._rate = both_ways, group_key, group, rate
        if self._given is not None:
            self._rule_of(self._given, "words")

    def inputs(self) -> list[Path]:
        if self._path is None:
            return []
        self._rule_of(read_table(self._path), str(self._path))  # so that no work is done in vain
        return [self._path]

    def change(self, batch: pa.RecordBatch, seeds: np.ndarray) -> pa.LargeStringArray:
        edits = self._rule.edits(batch)
        positions = rows_of(batch, edits.starts)
        places = np.arange(len(edits)) - np.searchsorted(positions, positions)  # of each among its document's
        lots = units(nth(seeds[positions], places.astype(np.uint64)))
        return edited(batch.column("text"), edits.rows(lots < self._rate))

    @cached_property
    def _rule(self) -> Spelling:
        """The rule that finds the words; a file is read at first use."""
        if self._path is None:
            return self._rule_of(self._given or {}, "words")
        return self._rule_of(read_table(self._path), str(self._path))

    def _rule_of(self, table: Table, name: str) -> Spelling:
        whole = {group: _both_ways(words, name) for group, words in table.items()} if self._both_ways else table
        return Spelling(whole, language_key=self._group_key, language=self._group)


def _both_ways(words: dict[str, str], name: str) -> dict[str, str]:
    """Return one group of a table with what leads back, the same for any order of its words.

    Raises:
        SettingError: an other word is not one word, so that nothing can lead back from it.
    """
    back: dict[str, str] = {}
    for word, other in sorted(words.items(), key=lambda entry: str(entry[0])):
        if not isinstance(other, str):
            continue  # the table refuses it
        if words_one(other) != [(0, len(other))]:
            raise SettingError(
                f"{name}: {word!r}: {other!r} is not one word, so that it can't become {word!r} in turn; give one, or "
                "set both_ways=false"
            )
        back.setdefault(other, word)
    return back | words
