"""What numba does at the first kernel of a process."""

from __future__ import annotations

import sys


def load_no_extensions() -> None:
    """Keep numba from importing what other packages registered with it, once numba itself is there.

    At its first kernel numba imports every installed package that says it extends numba. awkward does, which comes with
    gigatoken: 0.2 s and 13 MB in each process, for types that none of our kernels takes. A kernel that does take them
    calls `awkward.numba.register()`. numba has no switch for it; `init_all` does nothing when it was called before.
    """
    if "numba" not in sys.modules:
        return
    from numba.core import entrypoints

    entrypoints._already_initialized = True
