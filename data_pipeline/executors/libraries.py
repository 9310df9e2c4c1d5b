"""What numba and pyarrow do at their first call in a process: no import that nobody asked for, and compiling is seen.

Both look for packages that could be used with them, and find those that `datasets` and gigatoken brought: half a second
and 60 MB in each process. Neither has a switch for it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from foundation.progress import set_aside

_watches: list[object] = []  # the listener of this process, once there is one


def prepare_libraries() -> None:
    """Set up pyarrow and numba, each where it is imported."""
    if "pyarrow" in sys.modules and "pandas" not in sys.modules:
        _keep_pandas_out()
    if "numba" in sys.modules:
        _keep_extensions_out()
        _watch_compiling()


def _keep_pandas_out() -> None:
    """Have pyarrow look for pandas while there is none to find: 0.2 s and 50 MB.

    It imports pandas at the first list that becomes an array, to see whether the list is one of its series. It looks
    once; what needs pandas, such as `Table.from_pandas`, asks again and gets it.
    """
    import pyarrow as pa

    with _not_found("pandas"):
        pa.array([])


@contextmanager
def _not_found(name: str) -> Iterator[None]:
    class Finder:
        @staticmethod
        def find_spec(wanted: str, *_: object) -> None:
            if wanted == name:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(Finder)


def _keep_extensions_out() -> None:
    """Keep numba from importing, before its first kernel, what other packages registered with it, and scipy.

    Every installed package that says it extends numba is imported: awkward does, 0.2 s and 13 MB, for types that none
    of our kernels takes. A kernel that does take them calls `awkward.numba.register()`. scipy.linalg, 0.25 s, is
    imported to learn whether there is a BLAS for a sum of products; a kernel with `np.dot` still gets it.
    """
    from numba.core import entrypoints

    entrypoints.init_all = _without_blas


def _without_blas() -> None:
    """Import the module that asks for a BLAS, while there is none; the second time this does nothing."""
    from numba.np import linalg

    asked, linalg.ensure_blas = linalg.ensure_blas, _no_blas
    try:
        import numba.np.arraymath  # noqa: F401
    finally:
        linalg.ensure_blas = asked


def _no_blas() -> NoReturn:
    raise ImportError("not asked for yet")


def _watch_compiling() -> None:
    """Set aside what compiling takes: the first run on a machine would show rates far below those of all others.

    A kernel that numba finds in its cache on disk is not compiled, and not seen here.
    """
    if _watches:
        return
    from numba.core import event

    class Watch(event.Listener):
        """Counts the outermost compilation alone: a kernel compiles those that it calls."""

        depth, started = 0, 0.0

        def on_start(self, event: object) -> None:
            if not self.depth:
                self.started = time.monotonic()
            self.depth += 1

        def on_end(self, event: object) -> None:
            self.depth -= 1
            if not self.depth:
                set_aside(time.monotonic() - self.started)

    _watches.append(Watch())
    event.register("numba:compile", _watches[0])  # type: ignore[no-untyped-call]
