"""The rare, long lines of watch.jsonl: some of them, evenly spread over the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pretrain.json_lines import parse_line


def looks_with(path: Path, key: str, most: int) -> tuple[list[dict[str, Any]], int]:
    """Return the lines that have a key, by rising steps, and how many there are.

    Of more than `most` some are left out, the first and the last never. Only those returned are parsed: of a long run
    the others are gigabytes.

    Args:
        path: of the file; without it there are none.
        most: lines, 2 or more.
    """
    places = _places(path, f'"{key}"'.encode())
    count = len(places)
    kept = places if count <= most else [places[round(n * (count - 1) / (most - 1))] for n in range(most)]
    lines = []
    if kept:
        with path.open("rb") as file:
            for place in kept:
                file.seek(place)
                lines.append(parse_line(file.readline()))
    return [line for line in lines if line and isinstance(line.get("step"), int) and line.get(key)], count


def _places(path: Path, word: bytes) -> list[int]:
    """Return where the whole lines with a word begin, in bytes."""
    found, at = list[int](), 0
    if not path.is_file():
        return found
    with path.open("rb") as file:
        for raw in file:
            if word in raw and raw.endswith(b"\n"):
                found.append(at)
            at += len(raw)
    return found
