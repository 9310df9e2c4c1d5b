"""How kernels are compiled, and where their machine code is kept: beside the sources of all of them, by their hash.

numba keeps the machine code of a function until the file that holds it changes. A kernel that calls one of another file
would keep that one's old code for good, and a changed program would go on giving the old results under its new name.
So the folder of the cache is named by a hash of every file that has kernels, and of what these import.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numba

from foundation.hashes import hash_bytes

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

PACKAGE = Path(__file__).parent
_settings: Any = numba.config
_USES = f"from {__name__} import".encode()  # what a file with kernels has
_IMPORT = re.compile(rf"^from {PACKAGE.name}\.([\w.]+) import".encode(), re.MULTILINE)
_PREFIX = "kernels-"
_KEPT_S = 24 * 3600  # for which the code of other sources stays: another process may run it


def kernel(function: Kernel) -> Kernel:
    """Compile a kernel, which fills arrays that it is given and makes none.

    So numba need not count references to arrays (its NRT), which made kernels that call each other half as fast.
    """
    return _compiled(function, nogil=True, _nrt=False)


def array_kernel(function: Kernel) -> Kernel:
    """Compile a kernel that may make arrays."""
    return _compiled(function, nogil=True)


def inlined_kernel(function: Kernel) -> Kernel:
    """Compile a kernel whose code stands in each kernel that calls it."""
    return _compiled(function, nogil=True, inline="always")


def _compiled(function: Kernel, **options: Any) -> Kernel:
    with _cache_in(cache_dir()):
        compiled: Kernel = numba.njit(cache=True, **options)(function)
    return compiled


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """Have numba keep code here: it asks for the folder when a function is decorated."""
    before = _settings.CACHE_DIR
    _settings.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        _settings.CACHE_DIR = before


@functools.cache
def cache_dir() -> Path:
    """Return the folder for the machine code of these sources, in NUMBA_CACHE_DIR, in __pycache__, or where that can't
    be written in the user's own cache."""
    beside = PACKAGE / "__pycache__"
    if _settings.CACHE_DIR:
        parent = Path(_settings.CACHE_DIR)
    else:
        beside.mkdir(exist_ok=True) if os.access(PACKAGE, os.W_OK) else None
        parent = beside if os.access(beside, os.W_OK) else Path.home() / ".cache" / PACKAGE.name
    folder = parent / f"{_PREFIX}{sources_hash(PACKAGE)}"
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _forget_others(folder)
    return folder


def sources_hash(package: Path) -> str:
    """Return the hash of all files of a package that have kernels, and of what those import: constants stand in the
    machine code, too."""
    sources = {path: path.read_bytes() for path in package.rglob("*.py")}
    wanted = {path for path, source in sources.items() if _USES in source}
    waiting = list(wanted)
    while waiting:
        for name in _IMPORT.findall(sources[waiting.pop()]):
            path = package.joinpath(*name.decode().split(".")).with_suffix(".py")
            if path in sources and path not in wanted:
                wanted.add(path)
                waiting.append(path)
    named = sorted((path.relative_to(package).as_posix().encode(), sources[path]) for path in wanted)
    return hash_bytes(b"\0".join(part for pair in named for part in pair))


def _forget_others(folder: Path) -> None:
    """Remove the code of sources that are no more, if nobody has made any for a day."""
    for other in folder.parent.glob(f"{_PREFIX}*"):
        if other != folder and other.is_dir() and time.time() - other.stat().st_mtime > _KEPT_S:
            shutil.rmtree(other, ignore_errors=True)
