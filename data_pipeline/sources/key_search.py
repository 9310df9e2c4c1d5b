"""Looks for a key in the first records of a file of JSON lines; and what is said of a source whose ids are missing."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Collection

import orjson

from data_pipeline.sources.source import InputFile, Source
from foundation.errors import InputError, nearest
from foundation.text import number_of, one_line

PATIENCE = 1000  # objects of a file: where none of the first of them has a key, the key is wrong
KEYS_SHOWN = 20
KEY_CHARS = 40  # of a shown one
MOST_KEYS, MOST_KEY_CHARS = 200, 200  # that are kept to be shown
USUAL_ID = "id"  # sought without being asked for: nobody misses it


class KeySearch:
    """Looks for the first record that has a key: almost always the first line, so this costs nothing.

    A file where none of the first 1,000 objects has the text key is not a file of documents, and its config is wrong:
    reading on would copy the whole of it to quarantine first. That is said of a file, never of a block, which may by
    chance hold bad records alone.

    Attributes:
        is_found: whether a record has it.
        keys: some of those that the others have.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.is_found = False
        self.keys: set[str] = set()
        self._num_objects = 0

    def look(self, data: bytes) -> bool:
        """Look through the next block; return whether this one showed that the first 1,000 objects are without it."""
        if self.is_found or self._num_objects >= PATIENCE:
            return False
        for line in io.BytesIO(data):
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if not isinstance(record, dict):
                continue
            if self.key in record:
                self.is_found = True
                return False
            self._num_objects += 1
            self._keep(record)
            if self._num_objects == PATIENCE:
                return True
        return False

    def ends_without(self) -> bool:
        """Return whether a file that is at its end, and is shorter than that, has objects and none with the key."""
        return not self.is_found and 0 < self._num_objects < PATIENCE

    def none_has(self) -> str:
        """Return in words how many were looked at."""
        if self._num_objects >= PATIENCE:
            return f"none of its first {PATIENCE:,} records has"
        return f"none of its {number_of(self._num_objects, 'record')} has"

    def _keep(self, record: dict[str, object]) -> None:
        for key in itertools.islice(record, KEYS_SHOWN):
            if len(self.keys) < MOST_KEYS:
                self.keys.add(key[:MOST_KEY_CHARS])


def without_text(search: KeySearch, file: InputFile, source: Source) -> InputError:
    """Return the error of a file none of whose records has the key of the text."""
    keys = sorted(search.keys)
    inside = ""
    if search.key.split(".")[0] in keys:  # doc.text, where the records have doc
        inside = (
            f"; keys inside others are not followed: jq -c '.text = .{search.key}' FILE > NEW.jsonl lifts it out, and "
            f"{source.key}.text_key=text names it"
        )
    return InputError(
        f"{file.where}: {search.none_has()} the key {search.key!r} ({source.key}.text_key); keys seen: {shown(keys)}"
        f"{nearest(search.key, keys)}; set the source's text_key to the one that holds the text{inside}"
    )


def warn_without_id(source: Source, id_key: str, file: InputFile, lacks: str, keys: Collection[str]) -> None:
    """Say that a file's documents have no ids of their own, though somebody named the key of these. Once of a source.

    Args:
        lacks: what the file does without, e.g. `has no column`.
        keys: that it has.
    """
    if id_key == USUAL_ID or not source.is_first():
        return
    print(
        f"warning: {file.where}: {lacks} {id_key!r} ({source.key}.id_key), so that its documents are called "
        f"{one_line(file.name, KEY_CHARS)}#0 and so on; seen: {shown(sorted(keys))}{nearest(id_key, keys)}; set the "
        "source's id_key to the one that holds the id, or leave it out",
        file=sys.stderr,
    )


def shown(names: Collection[str]) -> str:
    """Return some names in quotes, each on one line and cut."""
    return ", ".join(repr(one_line(name, KEY_CHARS)) for name in itertools.islice(names, KEYS_SHOWN)) or "none"
