"""Groups: the documents of a source by a field of their metadata, e.g. their language, each a component of the mixture.

Small groups are joined into `other`: a component needs text enough for its share to mean something.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from foundation.errors import SettingError
from foundation.hashes import hash_bytes

OTHER, UNKNOWN = "other", "unknown"  # what is joined; documents without the field
MAX_CHARS = 60  # of a group's name: it is part of file names
MAX_COMPONENTS = 200  # whose shards stay open: an index and a file of tokens in two splits each, of 1,024 usual files
_FRACS = tuple(float(f"{digit}e-{power}") for power in range(7, 0, -1) for digit in (1, 2, 5))
_FORBIDDEN = re.compile(r"[^a-z0-9_.-]+")


def group_name(value: Any) -> str:
    """Return the name of the group of documents whose field has this value: lower case, fit to be part of a file name.

    Text, numbers and booleans name groups; all else is `unknown`, so is blank text. Values that differ in case or in
    spaces alone are one group. Where more is lost, a hash tells them apart: `C++` is `c-` and 8 hex digits, `C` is `c`.
    """
    if isinstance(value, bool):
        return str(value).lower()
    whole = "-".join(str(value).lower().split()) if isinstance(value, str | int | float) else ""
    if not whole:
        return UNKNOWN
    name = _FORBIDDEN.sub("-", whole).strip("-.")
    if name == whole and len(name) <= MAX_CHARS:
        return name
    digits = hash_bytes(whole.encode())[:8]
    return f"{name[: MAX_CHARS - 9]}-{digits}" if name else digits


def named_groups(weights: Mapping[str, float] | None) -> dict[str, str]:
    """Return the groups that are components by name, whatever their size: name -> as it is spelt in the weights."""
    return {name: each for each in weights or {} if (name := group_name(each)) != OTHER}


def read_groups(metadata: Sequence[str], field: str) -> tuple[list[str], np.ndarray]:
    """Return the names of the groups of documents, sorted, and the place of each document's among them, (n,) int32.

    Args:
        metadata: JSON objects.
        field: its key, or `outer.inner` where no key is the whole.
    """
    keys = field.split(".")
    found = [group_name(_value(orjson.loads(each), field, keys)) for each in metadata]
    names = sorted(set(found))
    places = {name: place for place, name in enumerate(names)}
    return names, np.array([places[name] for name in found], np.int32)


def _value(record: Any, field: str, keys: list[str]) -> Any:
    if field in record:
        return record[field]
    for key in keys:
        if not isinstance(record, dict) or key not in record:
            return None
        record = record[key]
    return record


def components(source: str, text_bytes: Mapping[str, int], min_frac: float, named: Collection[str]) -> dict[str, str]:
    """Return group -> the component of the mixture that its documents belong to, `<source>.<group>`.

    A source none of whose documents has the field stays one component, of its own name.

    Args:
        source: its name.
        text_bytes: group -> UTF-8 bytes of its documents' text.
        min_frac: groups with a smaller share of the source's text are joined.
        named: groups that are never joined; where there are any, all others are.
    """
    if set(text_bytes) == {UNKNOWN}:
        return {UNKNOWN: source}
    least = min_frac * sum(text_bytes.values())
    stays = {group for group, size in text_bytes.items() if (group in named if named else size >= least)}
    return {group: f"{source}.{group if group in stays else OTHER}" for group in text_bytes}


def check_number(number: int, text_bytes: Mapping[str, Mapping[str, int]], named: Collection[str]) -> None:
    """Refuse more components than can be read beside each other.

    Args:
        number: of components.
        text_bytes: source -> group -> UTF-8 bytes of its documents' text.
        named: as of `components`.
    Raises:
        SettingError: says what joins more of them.
    """
    if number <= MAX_COMPONENTS:
        return
    advice = "name fewer groups in mix.group_weights"
    if not named:
        fits = (frac for frac in _FRACS if _number_at(text_bytes, frac) <= MAX_COMPONENTS)
        least = next(fits, None)
        advice = "name another field" if least is None else f"set mix.min_group_frac={least:g} to join the small ones"
    raise SettingError(
        f"mix.group_by: {number:,} groups would be components of the mixture, each with shards of its own that stay "
        f"open in training; at most {MAX_COMPONENTS} can be; {advice}"
    )


def _number_at(text_bytes: Mapping[str, Mapping[str, int]], frac: float) -> int:
    return sum(len(set(components(source, sizes, frac, ()).values())) for source, sizes in text_bytes.items())
