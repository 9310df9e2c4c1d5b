"""Which class an example belongs to: that of its file, or what its record says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import orjson
import pyarrow as pa

from foundation.errors import InputError, nearest, require
from foundation.text import one_line

GOOD, BAD = "good", "bad"
CLASSES = (GOOD, BAD)  # a label is a place in it
MOST_MET = 1000  # different labels that are counted of a partition: a free text has no end of them
MOST_SHOWN, SHOWN_CHARS = 20, 40


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

    def of(self, documents: pa.RecordBatch, file_names: dict[int, str], met: Counter[str]) -> np.ndarray:
        """Return the label of each document, (n,) int8, a place in CLASSES.

        Args:
            documents: with documents.SCHEMA.
            file_names: by number, for messages.
            met: is told how often each label stands there; of those that name no bad ones MOST_MET at most.
        Raises:
            InputError: a record has no such field, or one that says nothing; names it.
        """
        labels = np.zeros(documents.num_rows, np.int8)
        columns = (documents.column(name).to_pylist() for name in ("file", "row", "metadata"))
        for place, (file, row, metadata) in enumerate(zip(*columns, strict=True)):
            record = orjson.loads(metadata)
            where = f"{file_names[file]}, record {row:,} from 0"
            if self._key not in record:
                raise InputError(f"{where}: no field {self._key!r}; label_key= names the field of the label")
            labels[place] = CLASSES.index(self._class_of(record[self._key], where))
            self._count(record[self._key], met)
        return labels

    def check_met(self, met: Mapping[str, int]) -> None:
        """Refuse labels of the bad that no record has: mistyped, they would make good examples of bad ones.

        Args:
            met: how often each label stands in the records; empty where none says its class.
        Raises:
            InputError: names them, and those that are there.
        """
        for label in sorted(self._bad or ()):
            if met and label not in met:
                frequent = sorted(met, key=lambda each: (-met[each], each))
                shown = ", ".join(one_line(each, SHOWN_CHARS) for each in frequent[:MOST_SHOWN])
                raise InputError(
                    f"bad_labels: no record has the label {label!r} in its field {self._key!r} (label_key); seen: "
                    f"{shown}{nearest(label, frequent)}; name labels that are there"
                )

    def bad_among(self, met: Mapping[str, int]) -> Counter[str]:
        """Return how often each label of the bad came, of those that were met."""
        bad = met.keys() - {"null"} if self._bad is None else self._bad
        return Counter({label: count for label, count in met.items() if label in bad})

    def _count(self, value: object, met: Counter[str]) -> None:
        written = _written(value)
        if written in met or len(met) < MOST_MET or written in (self._bad or ()):
            met[written] += 1

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
    """Return a label as `bad` has it."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
