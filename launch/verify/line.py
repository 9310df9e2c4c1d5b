"""The command line of verify_resume.py: its own settings, told apart from the run's. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foundation.errors import ConfigError, nearest

PREFIX = "verify."
MIN_STEPS = 12  # four checkpoints, each with steps of its own behind it
MAX_KILLS = 5
DEFAULT_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says; verify_resume.py's docstring says what each means. No `processes`: see `ranks_of`."""

    processes: int | None = None
    steps: int = 16
    kills: int = 3
    seed: int = 0
    world_sizes: tuple[int, ...] = (4, 2, 1, 4)


def parse(arguments: list[str]) -> tuple[Settings, list[str]]:
    """Return this command's settings, and the arguments that are launch/train.py's.

    Raises:
        ConfigError: a setting is unknown (names the nearest), given twice or of a value that can't work.
    """
    given: dict[str, Any] = {}
    rest = []
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not key.startswith(PREFIX):
            rest.append(argument)
            continue
        name = key.removeprefix(PREFIX)
        if not equals or name not in READERS:
            allowed = ", ".join(f"{PREFIX}{each}" for each in READERS)
            raise ConfigError(f"{key}: unknown key{nearest(name, READERS)}; allowed: {allowed}, as key=value")
        if name in given:
            raise ConfigError(f"{key}: given twice; keep one")
        given[name] = READERS[name](key, text)
    return Settings(**given), rest


def ranks_of(processes: int | None, num_gpus: int | None) -> int:
    """Return the ranks of the run: those asked for, else two, or one where there is one GPU.

    Args:
        processes: that were asked for; None for the default.
        num_gpus: of this machine; None where the run uses none.
    Raises:
        ConfigError: there are fewer GPUs.
    """
    most = DEFAULT_PROCESSES if num_gpus is None else min(DEFAULT_PROCESSES, num_gpus)
    if processes is None:
        return most
    if num_gpus is not None and processes > num_gpus:
        raise ConfigError(
            f"{PREFIX}processes: {processes} ranks need a GPU each, and this machine has {num_gpus}; give at most "
            f"{num_gpus}, or train on CPUs with trainer.device_type=cpu"
        )
    return processes


def _between(least: int, most: int) -> Callable[[str, str], int]:
    def read(key: str, text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise ConfigError(f"{key}: {text!r} is not allowed; give a whole number from {least} to {most}")
        return int(text)

    return read


def _sizes(key: str, text: str) -> tuple[int, ...]:
    sizes = [] if text in ("null", "[]") else text.strip("[]").split(",")
    if len(sizes) > 4 or not all(size.strip().isdecimal() and int(size) > 0 for size in sizes):
        raise ConfigError(f"{key}: {text!r} is not allowed; give up to four numbers of ranks, such as 4,2,1,4, or null")
    return tuple(int(size) for size in sizes)


READERS: dict[str, Callable[[str, str], Any]] = {
    "processes": _between(1, 1024),
    "steps": _between(MIN_STEPS, 10**6),
    "kills": _between(1, MAX_KILLS),
    "seed": _between(0, 2**63),
    "world_sizes": _sizes,
}
