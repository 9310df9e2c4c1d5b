"""What numba does at the first kernel of a process."""

from __future__ import annotations

import sys
import time

from foundation.progress import set_aside

_watches: list[object] = []  # the listener of this process, once there is one


def prepare_numba() -> None:
    """Set up numba, where it is imported: no foreign extensions, and the time that compiling takes is set aside."""
    if "numba" in sys.modules:
        _load_no_extensions()
        _watch_compiling()


def _load_no_extensions() -> None:
    """Keep numba from importing what other packages registered with it.

    At its first kernel numba imports every installed package that says it extends numba. awkward does, which comes with
    gigatoken: 0.2 s and 13 MB in each process, for types that none of our kernels takes. A kernel that does take them
    calls `awkward.numba.register()`. numba has no switch for it; `init_all` does nothing when it was called before.
    """
    from numba.core import entrypoints

    entrypoints._already_initialized = True


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
