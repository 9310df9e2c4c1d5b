"""What a pattern matches among the files of this machine, or an error: no folder that can't be read is passed over.

`glob.glob` passes over what it may not read, so that a closed folder is so many documents less, and nobody is told;
and its `**` follows links in circles.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from foundation.errors import InputError

MAGIC = re.compile(r"[*?[]")
ANY_DEPTH = "**"
ABSENT = (errno.ENOENT, errno.ENOTDIR)  # no such file, or one where a folder would have to be: no match


def walk(pattern: str, asked: str) -> list[Path]:
    """Return what a pattern matches, sorted, each path once.

    `*`, `?` and `[a-z]` match as in `fnmatch`, `**` the folder and all below it, at its end also their entries. Names
    that begin with a dot are matched by what begins with one. Links are followed; `**` enters each folder once.

    Args:
        pattern: relative to the working folder.
        asked: the key and the pattern, in the words of an error.
    Raises:
        InputError: a folder can't be read, or a link leads in circles; names it.
    """
    parts = list(Path(pattern).parts)
    if parts[-1:] == [ANY_DEPTH]:
        parts.append("*")
    return sorted(set(_matches(Path(), parts, asked)))


def matches(pattern: str, path: Path) -> bool:
    """Return whether `walk` would give a path for a pattern if a file were there; links are not followed."""
    parts = list(Path(os.path.abspath(Path(pattern).expanduser())).parts)  # noqa: PTH100, resolve() follows links
    if parts[-1:] == [ANY_DEPTH]:
        parts.append("*")
    return _fits(parts, list(path.absolute().parts))


def _fits(pattern: list[str], parts: list[str]) -> bool:
    """Return whether names fit the parts of a pattern, all of both."""
    fits = [True] + [False] * len(parts)  # of the pattern so far: each number of the first names
    for each in pattern:
        if each == ANY_DEPTH:
            for place, name in enumerate(parts):
                fits[place + 1] |= fits[place] and not name.startswith(".")
            continue
        fits = [False, *(fits[place] and _fits_one(name, each) for place, name in enumerate(parts))]
    return fits[-1]


def _fits_one(name: str, pattern: str) -> bool:
    return fnmatch.fnmatch(name, pattern) and _is_seen(name, pattern) if MAGIC.search(pattern) else name == pattern


def _matches(folder: Path, parts: list[str], asked: str) -> Iterator[Path]:
    if not parts:
        yield folder
        return
    first, rest = parts[0], parts[1:]
    if first == ANY_DEPTH:
        below = [*_folders(folder, asked)]
    elif MAGIC.search(first):
        entries = _entries(folder, bool(rest), asked)
        below = [folder / name for name in fnmatch.filter(entries, first) if _is_seen(name, first)]
    else:
        below = [folder / first] if _exists(folder / first, asked) else []
    for each in below:
        yield from _matches(each, rest, asked)


def _folders(top: Path, asked: str) -> Iterator[Path]:
    """Yield a folder and all below it, hidden ones excepted, each once: links may lead back."""
    seen: set[tuple[int, int]] = set()
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            state = folder.stat()
        except OSError as error:
            if error.errno in ABSENT:
                continue
            _refuse(folder, error, asked)
        if (state.st_dev, state.st_ino) in seen:
            continue
        seen.add((state.st_dev, state.st_ino))
        yield folder
        inner = sorted(name for name in _entries(folder, True, asked) if _is_seen(name, "*"))
        waiting += [folder / name for name in reversed(inner)]


def _entries(folder: Path, folders_alone: bool, asked: str) -> list[str]:
    """Return the names in a folder; none where there is no such folder."""
    place = folder
    try:
        with os.scandir(folder) as entries:
            names = []
            for entry in entries:
                place = folder / entry.name
                if not folders_alone or entry.is_dir():
                    names.append(entry.name)
            return names
    except OSError as error:
        if error.errno in ABSENT:
            return []
        _refuse(place, error, asked)
    except ValueError:  # a NUL in it
        return []


def _exists(path: Path, asked: str) -> bool:
    try:
        path.lstat()
    except OSError as error:
        if error.errno in ABSENT:
            return False
        _refuse(path, error, asked)
    except ValueError:
        return False
    return True


def _is_seen(name: str, pattern: str) -> bool:
    return not name.startswith(".") or pattern.startswith(".")


def _refuse(path: Path, error: OSError, asked: str) -> NoReturn:
    raise InputError(
        f"{asked} leads through {path}, which can't be read ({error.strerror}); mend it or leave it out"
    ) from error
