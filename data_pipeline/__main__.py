"""Raw text to token shards: python -m data_pipeline corpus=jsonl corpus.paths='[dumps/*.jsonl.zst]' name=web.

`--help` lists what can be set. The same command again goes on where it was stopped and redoes only what changed.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from data_pipeline.executors.libraries import prepare_libraries
from foundation.composed import Composed, Trial
from foundation.config.compose import plain
from foundation.config.suggest import other_options_named
from foundation.errors import ConfigError
from foundation.reader import reader_may_leave

if TYPE_CHECKING:
    from data_pipeline.preflight.preflight import Preflight

COMMAND = Composed(
    config="pipeline",
    stopped="stopped; what is finished is kept: the same command goes on",
    trials="the trials",
    line="python -m data_pipeline",
    stem="web",
)


def main() -> None:
    """Read the command line and run; the exit codes are those of `run_command`."""
    COMMAND.run(_prepare)


def _prepare(trial: Trial) -> Callable[[], int]:
    """Check one composed config; return what runs it."""
    # these bring numba and Arrow: half a second that help and a mistyped option need not wait for
    from data_pipeline.pipeline import check_config
    from data_pipeline.preflight.preflight import check_preflight
    from data_pipeline.preflight.rehearsal import rehearse_run
    from foundation.config import build

    prepare_libraries()
    command = trial.command
    with other_options_named(command.conf_dirs, trial.choices):
        tree = _named(plain(trial.config), trial.choices)
        preflight = build(check_preflight(tree, command.allowed))
        arguments = check_config(tree, command.allowed)
    if command.multirun:
        rehearse_run(arguments)
    return lambda: _run(preflight, arguments, trial.typed)


def _run(preflight: Preflight, arguments: dict[str, Any], typed: list[str]) -> int:
    """Run what was checked."""
    from data_pipeline.pipeline import run
    from data_pipeline.preflight.probing import config_hash
    from data_pipeline.preflight.show import print_truth
    from data_pipeline.summary import print_summary

    if not preflight.goes_on(arguments):
        print(f"run:    {_without_preflight(typed)}", file=sys.stderr)
        return 0
    result = run(**arguments)
    print_summary(result)
    print_truth(result, config_hash(arguments))
    return 0


def _without_preflight(typed: list[str]) -> str:
    """Return the line that runs what was foretold."""
    words = [each for each in typed if not each.lstrip("+~").startswith(("preflight=", "preflight."))]
    if len(words) == len(typed):  # a recipe's or a run's own config chose it
        words.append("preflight=none")
    return shlex.join(["python", "-m", "data_pipeline", *words])


def _named(tree: dict[str, object], chosen: Mapping[str, str]) -> dict[str, object]:
    """Return the config with its name: by default the chosen corpus's, so that corpora don't share a folder.

    Args:
        chosen: group -> the option that is taken.
    Raises:
        ConfigError: there is neither.
    """
    if tree.get("name") is None:
        if "corpus" not in chosen:
            raise ConfigError("name: null, and this config chooses no option of corpus to be named after; set name=")
        tree = tree | {"name": chosen["corpus"]}
    return tree


if __name__ == "__main__":
    with reader_may_leave():
        main()
