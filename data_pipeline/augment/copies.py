"""The copies of a batch of documents, each with its document's name, and a key of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import xxhash

from data_pipeline.augment.augmentation import Change
from data_pipeline.augment.lots import lots_of, seeds_of
from data_pipeline.clean.rules import EXAMPLES, Example
from data_pipeline.documents import SCHEMA, copy_rows, utf8_buffers, with_field, without_field
from foundation.errors import SettingError

COPY = "groundwork_copy"  # the field of a copy's metadata that says of what it is one
_BEFORE_CHARS, _EXAMPLE_CHARS = 80, 400  # shown of a copy, of which before the first change
_SEARCHED_CHARS = 1 << 16  # for that change


@dataclass(frozen=True, slots=True)
class Copies:
    """One copy of each document that was chosen for a change.

    Attributes:
        change: its name.
        number: of the copy, among those of all changes, from 1.
        batch: documents.SCHEMA, in the documents' order.
        unchanged: how many are not there as they came out as their document, or another copy of it, is.
        examples: some of them, beside their documents.
    """

    change: str
    number: int
    batch: pa.RecordBatch
    unchanged: int
    examples: list[Example]


def copies_of(changes: Mapping[str, Change], batch: pa.RecordBatch) -> Iterator[Copies]:
    """Make the copies of documents, copy by copy: each batch is no larger than what was given, but for what is added.

    A copy has the file of its document and `copy_rows` of its row, the id `<id>#<name>-<copy>`, and in its metadata the
    field COPY, {"id", "change", "copy"}: the document's id, the change's name, and which copy of this change it is,
    from 1. A record's own field of this name is left out.

    Args:
        changes: by name.
        batch: documents, with documents.SCHEMA.
    Raises:
        SettingError: a change, perhaps a user's own, gives no text for each document.
    """
    texts = batch.column("text")
    seen = set(enumerate(_digests(texts)))
    number = 0
    for name, change in changes.items():
        lots = lots_of(texts, change.seed, name)
        positions = np.flatnonzero(change.chosen(lots))
        parents = batch.take(pa.array(positions))
        for copy in range(1, change.copies + 1):
            number += 1
            if not len(positions):
                continue
            anew = change.change(parents, seeds_of(lots[positions], copy))
            _check(name, change, anew, len(positions))
            keys = list(zip(positions.tolist(), _digests(anew), strict=True))
            fresh = np.array([place for place, key in enumerate(keys) if key not in seen], np.int64)
            seen.update(keys)
            chosen, written = parents.take(pa.array(fresh)), anew.take(pa.array(fresh))
            made = _batch_of(chosen, written, name, copy, number)
            yield Copies(name, number, made, len(keys) - len(fresh), _examples(name, chosen, written))


def _batch_of(parents: pa.RecordBatch, texts: pa.LargeStringArray, name: str, copy: int, number: int) -> pa.RecordBatch:
    ids = parents.column("id").to_pylist()
    metadata = [
        with_field(without_field(each, COPY), COPY, {"id": parent, "change": name, "copy": copy})
        for each, parent in zip(parents.column("metadata").to_pylist(), ids, strict=True)
    ]
    columns = [
        parents.column("file"),
        pa.array(copy_rows(parents.column("row").to_numpy(), number)),
        pa.array([f"{parent}#{name}-{copy}" for parent in ids], pa.large_string()),
        texts,
        pa.array(metadata, pa.large_string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _digests(texts: pa.LargeStringArray) -> list[bytes]:
    data, offsets = utf8_buffers(texts)
    view = data.data
    spans = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    return [xxhash.xxh3_128_digest(view[start:stop]) for start, stop in spans]


def _check(name: str, change: Change, texts: pa.LargeStringArray, num_docs: int) -> None:
    if not isinstance(texts, pa.LargeStringArray) or len(texts) != num_docs or texts.null_count:
        who = f"{type(change).__module__}.{type(change).__qualname__}"
        raise SettingError(f"augment: {name} ({who}): gave no LargeStringArray of {num_docs} texts; give one for each")


def _examples(name: str, parents: pa.RecordBatch, texts: pa.LargeStringArray) -> list[Example]:
    """Return the first copies beside their documents, from shortly before the first change on."""
    examples = []
    for place in range(min(len(texts), EXAMPLES)):
        before, after = parents.column("text")[place].as_py(), texts[place].as_py()
        most = min(len(before), len(after), _SEARCHED_CHARS)
        first = next((char for char in range(most) if before[char] != after[char]), most)
        begin = max(0, first - _BEFORE_CHARS)
        shown = slice(begin, begin + _EXAMPLE_CHARS)
        examples.append(Example(name, parents.column("row")[place].as_py(), before[shown], after[shown]))
    return examples
