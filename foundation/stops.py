"""Signals that a batch system, a terminal or a launcher sends to every process of a job, and not to one of them."""

from __future__ import annotations

import signal

# SIGUSR1 and SIGUSR2: the warnings of Slurm, LSF and Grid Engine; SIGXCPU: a limit of time is near
STOPS = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU),
)


def outlive_stops() -> None:
    """Ignore them in a process that ends with those that it serves: they may take their time, and save."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
