"""Fields added to the metadata of documents, whose other fields stay byte for byte: no number is written anew."""

from __future__ import annotations

import json
from typing import Any

import orjson


def has_field(metadata: str, key: str) -> bool:
    """Return whether an object of metadata has a field of its own."""
    return orjson.dumps(key).decode() in metadata and key in orjson.loads(metadata)


def with_field(metadata: str, key: str, value: Any) -> str:
    """Return an object of metadata with one more field, the last one.

    Args:
        key: that it does not have.
        value: a JSON value.
    """
    before = metadata.rstrip()[:-1].rstrip()
    comma = "" if before == "{" else ","
    return f"{before}{comma}{orjson.dumps(key).decode()}:{orjson.dumps(value).decode()}}}"


def without_field(metadata: str, key: str) -> str:
    """Return an object of metadata without a field; as it is where it has none."""
    if not has_field(metadata, key):
        return metadata
    return json.dumps({name: value for name, value in json.loads(metadata).items() if name != key}, ensure_ascii=False)
