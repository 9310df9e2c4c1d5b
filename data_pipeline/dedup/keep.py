"""Which document of a cluster is judged first, and so stays."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import numpy as np
import orjson
import pyarrow as pa

from foundation.errors import ConfigError, GroundworkError, SettingError, nearest, require

Keep = Literal["longest", "first", "newest", "oldest", "score", "source"]
ARGUMENTS = frozenset({"keep", "keep_field", "keep_sources"})  # of a Dedup, that make its `KeepOrder`
_OF_A_FIELD = ("newest", "oldest", "score")
_DATED = ("newest", "oldest")


class NoKeepValue(GroundworkError):
    """What a document says is nothing that `keep` can go by.

    Attributes:
        position: of the document, among those that were looked at.
        found: what is wrong with it.
    """

    def __init__(self, position: int, found: str) -> None:
        super().__init__(f"document {position}: {found}")
        self.position, self.found = position, found


@dataclass(frozen=True, slots=True)
class KeepOrder:
    """An order of documents. Of those that it has no order for, the earliest in the corpus comes first.

    Attributes:
        keep: `longest`; `first` in the corpus, whatever the length; `newest`, `oldest` or highest `score`, by a field
            of the metadata; `source`, in the order of `sources`. Each but `first` takes the longest of equals before
            the earliest; exact copies have the same words, so of them `longest` is the earliest as well.
        field: of the metadata: a number, for `newest` and `oldest` also a date as ISO 8601 writes it. A document
            without it comes after all that have it.
        sources: the names of the corpus's sources, that which stays first.
    Raises:
        SettingError: what `keep` needs is not there, or something that it does not look at is set.
    """

    keep: Keep
    field: str | None = None
    sources: list[str] | None = None

    def __post_init__(self) -> None:
        require(self.keep in get_args(Keep), "keep", self.keep, f"one of {', '.join(get_args(Keep))}")
        self._check("keep_field", self.field, self.keep in _OF_A_FIELD, "the name of a field, e.g. date")
        self._check("keep_sources", self.sources, self.keep == "source", "all sources' names, e.g. '[books,web]'")
        if self.sources is not None and len(set(self.sources)) < len(self.sources):
            raise SettingError(f"keep_sources: {self.sources} names a source twice; name each once")

    def _check(self, key: str, value: object, is_needed: bool, example: str) -> None:
        if is_needed and not value:
            raise SettingError(f"{key}: {value!r}, and keep={self.keep} goes by it; set it to {example}")
        if value is not None and not is_needed:
            raise SettingError(f"{key}: {value!r}, but keep={self.keep} does not look at it; set it to null")

    @property
    def reads_documents(self) -> bool:
        """Whether it goes by what documents say, `values`."""
        return self.keep in _OF_A_FIELD

    def check_sources(self, names: Iterable[str]) -> None:
        """Refuse an order of sources that leaves one of the corpus out, or names one that it has not.

        Args:
            names: of all the corpus's sources.
        Raises:
            ConfigError: says which they are, and which there are.
        """
        if self.sources is None:
            return
        names = list(names)
        missing = [name for name in names if name not in self.sources]
        strays = [name for name in self.sources if name not in names]
        wrong = [f"source {name!r} of the corpus is not in {self.sources}" for name in missing[:1]]
        wrong += [f"{stray!r} is no source of this corpus{nearest(stray, missing or names)}" for stray in strays]
        if wrong:
            raise ConfigError(f"dedup.keep_sources: {'; '.join(wrong)}; name each of the corpus's: {', '.join(names)}")

    def values(self, metadata: pa.LargeStringArray) -> np.ndarray:
        """Return what documents are ordered by, (n,) float64, the lowest first.

        Args:
            metadata: of n documents, each a JSON object. One where the field is missing or null gets infinity.
        Raises:
            NoKeepValue: a document with what is no number or date there.
        """
        fields = map(orjson.loads, metadata.to_pylist())
        values = (self._value(position, each) for position, each in enumerate(fields))
        return np.fromiter(values, np.float64, len(metadata))

    def values_of_sources(self, sources: Iterable[str]) -> np.ndarray | None:
        """Return what documents of these sources are ordered by, (n,) float64; None where sources do not count."""
        if self.sources is None:
            return None
        return np.array([self.sources.index(source) for source in sources], np.float64)

    def _value(self, position: int, fields: dict[str, Any]) -> float:
        value = fields.get(str(self.field))
        if value is None:
            return math.inf
        number = _seconds(value) if self.keep in _DATED and isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            allowed = "a number or a date such as 2024-05-31" if self.keep in _DATED else "a number"
            raise NoKeepValue(position, f"{value!r} is not {allowed}")
        return float(number) if self.keep == "oldest" else -float(number)


def _seconds(date: str) -> float | None:
    """Return the seconds since 1970 of a date of ISO 8601, without a zone that of UTC; None where it is none."""
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
