"""A field of the metadata that no document has, in words."""

from __future__ import annotations

import orjson

from data_pipeline.stages.view import View
from foundation.errors import nearest

MOST_LOOKED_AT, MOST_SHOWN = 100, 20  # documents; fields of them


def none_has(field: str, view: View) -> str:
    """Return that no document has the field, those that the first documents have, and which of them may be meant."""
    some = next(view.slices(view.alive)).metadata()[:MOST_LOOKED_AT].to_pylist()
    fields = sorted({key for each in some for key in orjson.loads(each)})
    shown = ", ".join(map(repr, fields[:MOST_SHOWN])) or "none"
    return f"no document has the field {field!r}; fields seen: {shown}{nearest(field, fields)}"
