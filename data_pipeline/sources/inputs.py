"""Which files a source reads: patterns become a sorted list of readable files, each once."""

from __future__ import annotations

import itertools
import math
import os
import re
import stat
import sys
from pathlib import Path

from data_pipeline.shards.budget import ALLOWED, is_budget
from data_pipeline.sources.remote import Options, check_remote, find_remote, is_remote
from data_pipeline.sources.source import InputFile
from data_pipeline.sources.walk import walk
from foundation.errors import InputError, SettingError, require
from foundation.files import nearest_existing

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # a source's name is part of file names
NO_FILE_NAME = "can't be part of a file name; set it to up to 100 letters, digits, '_', '-' and '.'"


def is_source_name(source: str) -> bool:
    """Return whether a source may be called so."""
    return NAME.fullmatch(source) is not None and len(source) <= 100


def check_source(
    source: str, weight: float, budget: dict[str, float] | None = None, tags: dict[str, str] | None = None
) -> None:
    """Check what every source is given.

    Args:
        source: the source's name, part of its shards' file names.
        weight: its share of the training mixture, relative to the other sources'.
        budget: what a training run reads of it in place of the weight.
        tags: fields that are added to the metadata of its documents.
    Raises:
        SettingError: a value that can't work.
    """
    if not is_source_name(source):
        raise SettingError(
            f"source: {source!r} {NO_FILE_NAME} (where it is not set, it is the label in corpus.sources, else the last "
            "part of the data's name)"
        )
    require(math.isfinite(weight) and weight > 0, "weight", weight, "a number above 0")
    require(budget is None or is_budget(budget), "budget", budget, f"{ALLOWED}, or null for the weight")
    require(all(tags or {}), "tags", tags, "names, none empty, with a text each, e.g. {domain: law}")


def check_paths(paths: list[str], storage_options: Options | None = None) -> None:
    """Check that there is at least one pattern, none empty, and what is said of those on other machines.

    Raises:
        ConfigError: names an example, or what may not be in an address.
    """
    require(bool(paths) and all(paths), "paths", paths, "at least one file or pattern, e.g. '[dumps/*.jsonl.zst]'")
    check_remote(paths, storage_options)


def find_files(
    paths: list[str], source: str, storage_options: Options | None = None, key: str = "corpus"
) -> list[InputFile]:
    """Return the files that `paths` name, sorted by name. One that two patterns name comes once, and so does one that
    is reached by links, hard ones too, which is told.

    A file's name is its path below the folder that all files share, so it says nothing of where that folder lies;
    files of other machines (`find_remote`) share one of their own.

    Args:
        paths: files or glob patterns (`*`, `?`, `[a-z]`, `**` for any depth), relative to the working folder; or
            addresses (s3://, gs://, http://, https://).
        source: the source's name, for error messages.
        storage_options: by protocol, arguments of its fsspec file system.
        key: of the source in the config, for error messages.
    Raises:
        InputError: a pattern matches nothing (names the nearest existing path), or names what can't be read as a file.
    """
    far = [path for path in paths if is_remote(path)]
    near = [path for path in paths if not is_remote(path)]
    files = find_remote(far, source, storage_options or {}, key) if far else []
    files += _local_files(near, source, key) if near else []
    files.sort(key=lambda file: file.name)
    for one, other in itertools.pairwise(files):
        if one.name == other.name:
            raise InputError(
                f"{key}.paths: {one.where} and {other.where} of source {source!r} would have one name, {one.name!r}, "
                "and ids are made from it; give each a source of its own (corpus=several)"
            )
    return files


def _local_files(paths: list[str], source: str, key: str) -> list[InputFile]:
    asked = {pattern: f"{key}.paths: {pattern!r} of source {source!r}" for pattern in paths}
    named = sorted({path for pattern in paths for path in matching_files(pattern, asked[pattern])})
    first: dict[str | tuple[int, int], Path] = {}
    for path in named:
        other = first.setdefault(_identity(path), path)
        if other != path:
            print(f"{path}: is the same file as {other}, by a link; read once", file=sys.stderr)
    found = list(first.values())
    shared = Path(os.path.commonpath([path.parent for path in found]))
    return [InputFile(_portable(path.relative_to(shared)), path, path.stat().st_size) for path in found]


def _identity(path: Path) -> str | tuple[int, int]:
    """Return what two paths to one file have in common. Numbers of the inode are taken where a file has several names
    alone: some network file systems give one number to two files."""
    state = path.stat()
    return (state.st_dev, state.st_ino) if state.st_nlink > 1 and state.st_ino else os.path.realpath(path)


def matching_files(pattern: str, asked: str) -> list[Path]:
    """Return the files of one pattern as absolute paths, links not followed; a path that exists is taken literally.

    Args:
        pattern: a file or glob pattern, relative to the working folder.
        asked: the key and the pattern, in the words of an error.
    Raises:
        InputError: nothing matches (names the nearest existing path), or a match can't be read as a file, or a folder
            on the way to one not at all.
    """
    expanded = str(Path(pattern).expanduser())
    literal = _absolute(expanded)
    if os.path.lexists(literal):
        _check_readable(literal, asked)
        return [literal]
    found = [_absolute(str(path)) for path in walk(expanded, asked)]
    if Path(pattern).name in ("*", "**"):  # meant to match anything, so folders among the matches are no mistake
        found = [path for path in found if not os.path.isdir(path)]  # noqa: PTH112, which may raise
    for path in found:
        _check_readable(path, asked)
    if not found:
        raise InputError(
            f"{asked} matches no file (working folder {Path.cwd()}); "
            f"the nearest existing path is {nearest_existing(literal)}; mend the pattern"
        )
    return found


def _absolute(path: str) -> Path:
    """Return an absolute path without `..`, links not followed."""
    return Path(os.path.normpath(Path(path).absolute()))


def _check_readable(path: Path, asked: str) -> None:
    where = f"{asked} names {path}, which"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(f"{where} can't be read ({error.strerror}); mend it or leave it out") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{where} is a folder; name the files in it, e.g. {path}/*.jsonl")
    if not stat.S_ISREG(mode):
        raise InputError(f"{where} is neither a file nor a link to one; leave it out")
    if not os.access(path, os.R_OK):
        raise InputError(f"{where} you may not read; change its permissions or leave it out")


def _portable(path: Path) -> str:
    """Return a relative path as valid UTF-8 with slashes; bytes of a name that are no UTF-8 show as backslash codes."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")
