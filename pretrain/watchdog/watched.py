"""The ranks' side: a page for their signs of life, a file for their stacks, and the process that looks at both."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from pretrain.heartbeat import PAGE, Phase, make_page
from pretrain.mesh import TIMEOUT, Mesh
from pretrain.watchdog.judge import exchange_s
from pretrain.watchdog.report import DUMP_SIGNAL, stack_file

CHILD = (sys.executable, "-P", "-m", "pretrain.watchdog")  # -P: a folder `pretrain` here is not the package


def exchange_timeout(hang_timeout_s: float | None) -> timedelta:
    """Return how long ranks wait for each other: longer than the watchdog takes to name the one that they wait for."""
    return TIMEOUT if hang_timeout_s is None else timedelta(seconds=exchange_s(hang_timeout_s))


@contextlib.contextmanager
def watched(mesh: Mesh, run_dir: Path, hang_timeout_s: float | None, kills: bool) -> Iterator[None]:
    """Have the ranks looked after inside this block; called on every rank.

    Args:
        mesh: whose heartbeat is written to the page.
        run_dir: takes hang.txt.
        hang_timeout_s: as in `TrainerSettings`; None watches nothing.
        kills: whether a rank that hangs is killed, because somebody restarts it; else it is named.
    """
    if hang_timeout_s is None:
        yield
        return
    word = mesh.broadcast_json(secrets.token_hex(8))
    folder = Path(tempfile.gettempdir()) / f"groundwork-{word}-{socket.gethostname()}"  # nodes may share their TMPDIR
    with contextlib.ExitStack() as held:
        if mesh.local_rank == 0:
            _prepare(folder, mesh.local_size)
        mesh.barrier()
        if (folder / PAGE).exists():
            held.enter_context(_beating(mesh, folder))
            if mesh.local_rank == 0:
                held.enter_context(_watchdog(mesh, folder, run_dir, hang_timeout_s, kills))
        yield


def _prepare(folder: Path, num_ranks: int) -> None:
    try:
        folder.mkdir(mode=0o700)
        make_page(folder / PAGE, num_ranks)
    except OSError as error:
        print(f"no watchdog: {error}; a rank that hangs is not noticed", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _beating(mesh: Mesh, folder: Path) -> Iterator[None]:
    # left open, and the signal registered, to the end of the process: a question that comes late must not end it
    stacks = stack_file(folder, mesh.local_rank).open("wb")
    # answers in C: also while what hangs holds the interpreter's lock
    faulthandler.register(DUMP_SIGNAL, stacks, all_threads=True, chain=False)
    mesh.heartbeat.attach(folder / PAGE, mesh.local_rank, mesh.rank)
    try:
        yield
    finally:
        mesh.heartbeat.at(Phase.ENDED)


@contextlib.contextmanager
def _watchdog(mesh: Mesh, folder: Path, run_dir: Path, hang_timeout_s: float, kills: bool) -> Iterator[None]:
    told = {
        "folder": str(folder),
        "run_dir": str(run_dir.absolute()),
        "hang_timeout_s": hang_timeout_s,
        "all_here": mesh.local_size == mesh.world_size,
        "kills": kills,
    }
    child = subprocess.Popen([*CHILD, json.dumps(told)], stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        assert child.stdin is not None
        child.stdin.close()
