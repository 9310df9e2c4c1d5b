"""Do one step of a run again, from the nearest checkpoint before it, and show what was in it.

    python launch/replay.py run=runs/gpt_small step=1234

step=N             steps finished with it, as metrics.jsonl, the console and journal.jsonl count
dropped=0          n: the n-th last time that this step was done and dropped, by a run that went back
show=3             sequences to show, those with the highest loss first
characters=600     of each sequence's text
write=PATH         a folder to write all of it to: step.json, sequences.jsonl, tokens.npy
extra_targets=[P.] admits classes of your own package P, as it did for the training

The run itself is only read. On as many ranks as it was trained on, it gives the same bits:
    torchrun --nproc_per_node=8 launch/replay.py run=runs/gpt_small step=1234
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.config.targets import extra_prefixes
from foundation.errors import ConfigError
from foundation.reader import reader_may_leave
from launch.pairs import read_pairs, run_command

KEYS = ("run", "step", "dropped", "show", "characters", "write", "extra_targets")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says; the module's docstring says what each means."""

    run: Path
    step: int
    dropped: int = 0
    show: int = 3
    characters: int = 600
    write: Path | None = None
    extra_targets: tuple[str, ...] = ()


def main() -> None:
    """Read the command line, do the step, print; exit with 2 for what users can mend, 130 on Ctrl-C."""
    run_command(__doc__, _show)


def _show(arguments: list[str]) -> None:
    settings = parse(arguments)
    from launch.replayed import show_step  # brings torch: two seconds that help and a mistyped line don't wait for

    with tempfile.TemporaryDirectory() as scratch:
        show_step(settings, Path(scratch))


def parse(arguments: list[str]) -> Settings:
    """Read `key=value` arguments.

    Raises:
        ConfigError: an unknown key, one given twice, a value of a wrong type, none where one is needed.
    """
    pairs = read_pairs(arguments, KEYS, ConfigError)
    given = {key: _value(key, text) for key, text in pairs.items()}
    for key, example in (("run", "run=runs/gpt_small"), ("step", "step=1234")):
        if key not in given:
            raise ConfigError(f"{key}: missing; such as {example}")
    return Settings(**given)


def _value(key: str, text: str) -> Any:
    if key == "extra_targets":
        return extra_prefixes([f"{key}={text}"])
    if key in ("run", "write"):
        if not text:
            raise ConfigError(f"{key}: is empty; give a path")
        return Path(text)
    least = 1 if key == "step" else 0
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{key}: {text!r} is not a whole number from {least} on; such as {key}=3")
    return int(text)


if __name__ == "__main__":
    with reader_may_leave():
        main()
