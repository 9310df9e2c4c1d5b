"""Several sources in one run, each with its own name, shards and weight."""

from __future__ import annotations

from typing import Self

from data_pipeline.sources.source import Corpus, Source
from foundation.errors import ConfigError, SettingError


class Several(Corpus):
    """A corpus of several sources, numbered by name: the order of the keys in a config changes nothing.

    Args:
        sources: label -> source. In a config, a source without a name of its own has its label's (`names`).
    Raises:
        SettingError: two have one name.
    """

    def __init__(self, sources: dict[str, Source]) -> None:
        label_of: dict[str, str] = {}
        for label, source in sources.items():
            # lower case: on macOS web_00000.bin and Web_00000.bin are one file
            other = label_of.setdefault(source.name.lower(), label)
            if other != label:
                raise SettingError(
                    f"sources.{label}.source: {source.name!r} is the name of {other!r} too; "
                    "shards are named by it, so give each source its own"
                )
        self._labelled = sources
        self._sources = sorted(sources.values(), key=lambda source: source.name)

    def keyed(self, key: str) -> Self:
        for label, source in self._labelled.items():
            source.keyed(f"{key}.sources.{label}")
        return self

    def sources(self) -> list[Source]:
        if not self._sources:  # allowed until now: the option's own file has none, users add theirs
            raise ConfigError(
                "corpus.sources: empty; add one, e.g. +corpus@corpus.sources.web=jsonl "
                "corpus.sources.web.paths='[web/*.jsonl]', and others likewise"
            )
        return list(self._sources)
