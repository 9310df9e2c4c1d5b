"""Words that are spelt alike and mean something else in another domain, told apart by tags that the user chooses."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any

import pyarrow as pa

from data_pipeline.clean.edits import with_texts
from data_pipeline.clean.rules import EXAMPLES, Applied, Example
from data_pipeline.clean.table_rule import TableRule
from foundation.errors import require

TAGGED, MARKED = "homographs_tagged", "documents_marked"
_EXAMPLE_CHARS = 80  # of a marked document


class Homographs(TableRule):
    """Writes the sense of a word beside it, `Java` as `Java<island>`, or the domain of a document before its text.

    A document's domain is in its record, a tag of its source, or given for all documents. Of a domain's table each
    whole word is written by the template, in its own case; one that is written so already stays. Counts
    `homographs_tagged`, `documents_marked`. Words that no table names, and documents without a domain, stay as they
    are.

    Args:
        senses: domain -> word -> sense; or word -> sense, for every document.
        path: a file with the table, in its place, in the format of `data_pipeline.clean.word_table`, its third column
            the domain; relative to where the command is typed.
        domain_key: the key of a record that holds its domain.
        domain: of documents without one.
        template: what stands in place of a word, with `{word}` once and `{sense}`.
        document_template: what stands before the text of a document with a domain, with `{domain}`; empty: nothing.
    Raises:
        SettingError: both a table and a file, an entry or template that can't work.
    """

    def __init__(
        self,
        senses: dict[str, Any] | None = None,
        path: str | None = None,
        domain_key: str | None = None,
        domain: str | None = None,
        template: str = "{word}<{sense}>",
        document_template: str = "",
    ) -> None:
        super().__init__(senses, path, domain_key, domain, TAGGED)
        fits = template.count("{word}") == 1 and "{sense}" in template
        require(fits, "template", template, "a text with {word} once and {sense}")
        fits = not document_template or "{domain}" in document_template
        require(fits, "document_template", document_template, "a text with {domain}, or an empty one")
        self._left, self._right = template.split("{word}")
        self._document_template = document_template

    @cached_property
    def beside_bytes(self) -> int:
        senses = (said for words in self.table.entries.values() for said in words.values())
        return len((self._left + self._right).encode()) + max((len(said.encode()) for said in senses), default=0)

    def written(self, word: str, said: str, is_exact: bool, before: str, after: str) -> str:
        left, right = (part.replace("{sense}", said) for part in (self._left, self._right))
        return word if before.endswith(left) and after.startswith(right) else left + word + right

    def apply(self, batch: pa.RecordBatch) -> Applied:
        applied = super().apply(batch)
        if not self._document_template:
            return applied
        texts, rows, metadata = (applied.batch.column(name) for name in ("text", "row", "metadata"))
        written: dict[int, str] = {}
        examples: list[Example] = []
        for position in range(batch.num_rows):
            domain = self._group_of(metadata[position].as_py())
            mark = self._document_template.replace("{domain}", domain) if domain is not None else ""
            text = texts[position].as_py() if mark else ""
            if mark and not text.startswith(mark):
                written[position] = mark + text
                start = text[:_EXAMPLE_CHARS]
                examples.append(Example(MARKED, rows[position].as_py(), start, mark + start))
        marked = Counter({MARKED: len(written)})
        return Applied(
            with_texts(applied.batch, written),
            changed=applied.changed + marked,
            examples=applied.examples + examples[:EXAMPLES],
        )
