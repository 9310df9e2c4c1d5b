"""Which class an example belongs to: that of its file, or what its record says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import orjson
import pyarrow as pa

from foundation.errors import InputError, require

GOOD, BAD = "good", "bad"
CLASSES = (GOOD, BAD)  # a label is a place in it


class Labels:
    """How the records of labelled files say which class they belong to.

    Args:
        key: the field of the label. `reason`, as `python -m data_pipeline.clean` judges by: null, it is good; else it
            is bad, and this is why.
        bad: labels of bad examples, all others are good; numbers and truth values as JSON writes them: "1", "true".
            None: a text is a bad one's label, null a good one's.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(self, key: str = "reason", bad: list[str] | None = None) -> None:
        require(bool(key), "label_key", key, "the name of a field")
        require(bad != [], "bad_labels", bad, "at least one label, or null where every text is a bad one's")
        self._key, self._bad = key, None if bad is None else frozenset(bad)

    def of(
        self, documents: pa.RecordBatch, file_names: dict[int, str], reasons: Counter[str] | None = None
    ) -> np.ndarray:
        """Return the label of each document, (n,) int8, a place in CLASSES.

        Args:
            documents: with documents.SCHEMA.
            file_names: by number, for messages.
            reasons: receives how often each label of a bad example came, as it is written.
        Raises:
            InputError: a record has no such field, or one that says nothing; names it.
        """
        labels = np.zeros(documents.num_rows, np.int8)
        columns = (documents.column(name).to_pylist() for name in ("file", "row", "metadata"))
        for place, (file, row, metadata) in enumerate(zip(*columns, strict=True)):
            record = orjson.loads(metadata)
            where = f"{file_names[file]}, record {row + 1}"
            if self._key not in record:
                raise InputError(f"{where}: no field {self._key!r}; label_key= names the field of the label")
            labels[place] = CLASSES.index(self._class_of(record[self._key], where))
            if reasons is not None and labels[place] == CLASSES.index(BAD):
                reasons[_written(record[self._key])] += 1
        return labels

    def _class_of(self, value: object, where: str) -> str:
        written = _written(value)
        if self._bad is not None:
            return BAD if written in self._bad else GOOD
        if value is None:
            return GOOD
        if not isinstance(value, str):
            raise InputError(
                f"{where}: {self._key} is {written[:80]}, neither null (good) nor a text (bad); name the labels of the "
                f"bad, e.g. bad_labels='[\"{written[:20]}\"]'"
            )
        return BAD


def _written(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
