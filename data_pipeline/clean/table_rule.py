"""What the rules that change words by a user's table share: the table, the group of a document, the edits."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from data_pipeline.clean.edits import START, Edits, edited, examples_of, rows_of
from data_pipeline.clean.rules import Applied, Rule, with_text
from data_pipeline.clean.word_table import WordTable, read_table, table_of
from data_pipeline.documents import utf8_buffers
from foundation.errors import require


class TableRule(Rule):
    """Changes whole words by a table.

    Args:
        words: the table, as the config holds it.
        path: a file with the table, in its place.
        key: of the metadata that names a document's group; None: only entries for every document count.
        group: of documents without it.
        counted: the kind of change.
    Raises:
        SettingError: both a table and a file.
    """

    def __init__(
        self, words: dict[str, Any] | None, path: str | None, key: str | None, group: str | None, counted: str
    ) -> None:
        require(not (words and path), "path", path, "null where the config holds the table")
        self._given = None if path else table_of(words or {}, "words")
        self._path = Path(path) if path else None
        self._key, self._group, self._counted = key, group, counted
        if self._given is not None:
            WordTable(self._given, "words")

    @abstractmethod
    def written(self, word: str, said: str, is_exact: bool, before: str, after: str) -> str:
        """Return what stands in place of a word.

        Args:
            said: by the table.
            is_exact: of this very form, not of its small letters.
            before, after: the text beside the word, up to `beside_bytes` of each.
        """

    @property
    def beside_bytes(self) -> int:
        """How much of the text on either side `written` looks at."""
        return 0

    def inputs(self) -> list[Path]:
        if self._path is None:
            return []
        WordTable(read_table(self._path), str(self._path))  # so that no work is done in vain
        return [self._path]

    def apply(self, batch: pa.RecordBatch) -> Applied:
        edits = self.edits(batch)
        if not len(edits):
            return Applied(batch)
        examples = examples_of(self._counted, batch, edits, np.ones(len(edits), bool))
        changed = Counter({self._counted: len(edits)})
        return Applied(with_text(batch, edited(batch.column("text"), edits)), changed=changed, examples=examples)

    def edits(self, batch: pa.RecordBatch) -> Edits:
        """Return what becomes of which words; of those that stay as they are nothing."""
        texts = batch.column("text")
        spans = self.table.find(texts)
        data, offsets = utf8_buffers(texts)
        positions = rows_of(batch, spans[:, START]).tolist()
        groups: dict[int, str | None] = {}
        starts, stops, pieces = [], [], []
        for (start, stop, _), position in zip(spans.tolist(), positions, strict=True):
            if position not in groups:
                groups[position] = self._group_of(batch.column("metadata")[position].as_py())
            word = data[start:stop].tobytes().decode()
            said = self.table.said(word, groups[position])
            if said is None:
                continue
            first, last = int(offsets[position]), int(offsets[position + 1])
            before = data[max(start - self.beside_bytes, first) : start].tobytes().decode(errors="ignore")
            after = data[stop : min(stop + self.beside_bytes, last)].tobytes().decode(errors="ignore")
            piece = self.written(word, *said, before, after)
            if piece != word:
                starts.append(start)
                stops.append(stop)
                pieces.append(piece.encode())
        return Edits(np.array(starts, np.int64), np.array(stops, np.int64), pieces, np.arange(len(pieces)))

    def _group_of(self, metadata: str) -> str | None:
        found = orjson.loads(metadata).get(self._key) if self._key is not None else None
        return found if isinstance(found, str) else self._group

    @cached_property
    def table(self) -> WordTable:
        """The table; a file is read at first use."""
        if self._path is None:
            return WordTable(self._given or {}, "words")
        return WordTable(read_table(self._path), str(self._path))
