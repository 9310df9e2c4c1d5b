"""Commands that take `key=value` words and no config: how these are read, how such a command ends. Imports no torch."""

from __future__ import annotations

import difflib
import signal
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from foundation.errors import ConfigError, GroundworkError, nearest
from launch.exit_codes import REFUSED


def read_pairs(
    arguments: list[str],
    keys: Collection[str],
    error: type[ConfigError],
    more: str = "",
    twice: dict[str, str] | None = None,
) -> dict[str, str]:
    """Return the words by key, each split at its first `=`; a value is never interpreted.

    Args:
        keys: that there are. error: of the command's own family.
        more: behind `arguments are key=value`, of a command whose values are mistyped in a way of their own.
        twice: key -> what to type instead of it twice.
    Raises:
        ConfigError: an unknown key (names the nearest), or one given twice.
    """
    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or key not in keys:
            hint = nearest(key, keys) if equals else f"; arguments are key=value{more}"
            raise error(f"{key}: unknown key{hint}; allowed: {', '.join(keys)}")
        if key in given:
            raise error(f"{key}: given twice; keep one{(twice or {}).get(key, '')}")
        given[key] = text
    return given


def nearest_run(folder: Path) -> str:
    """Return `, did you mean '...'?` with the run beside a folder whose name is like its own; empty where none is.

    Names alone are compared: of paths, the folder that all runs lie in would make any two alike.
    """
    runs = {path.parent.name: str(path.parent) for path in folder.parent.glob("*/config.yaml")}
    close = difflib.get_close_matches(folder.name, runs, n=1)
    return f", did you mean {runs[close[0]]!r}?" if close else ""


def run_command(help_text: str | None, command: Callable[[list[str]], None]) -> None:
    """Run a command on this process's arguments; without any, or with --help, print its help.

    Exits with 2 for what users can mend, 130 on Ctrl-C.
    """
    arguments = sys.argv[1:]
    if not arguments or {"-h", "--help"} & set(arguments):
        print(help_text)
        return
    try:
        command(arguments)
    except GroundworkError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # a line of its own for the shell's prompt
        sys.exit(128 + signal.SIGINT)
