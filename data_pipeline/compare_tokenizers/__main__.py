"""Tokenizers side by side: python -m data_pipeline.compare_tokenizers data_dir=data/web tokenizers='[data/web,x.json]'.

`--help` lists what can be set. What comes out is one page to choose by, and its figures.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_pipeline.executors.libraries import prepare_libraries
from foundation.composed import Composed, Trial
from foundation.config.compose import plain
from foundation.config.suggest import other_options_named
from foundation.errors import ConfigError
from foundation.reader import reader_may_leave

COMMAND = Composed(
    config="compare_tokenizers",
    stopped="stopped; a page that was there before is untouched",
    trials="the pages",
    line="python -m data_pipeline.compare_tokenizers",
    stem="of",
)


def main() -> None:
    """Read the command line and compare; the exit codes are those of `run_command`."""
    COMMAND.run(_prepare)


def _prepare(trial: Trial) -> Callable[[], int]:
    """Check one composed config; return what compares by it."""
    # these bring numba and Arrow: half a second that help and a mistyped option need not wait for
    from data_pipeline.compare_tokenizers.compare import FOLDER, check_config, run
    from data_pipeline.output_dir import choose_output_dir
    from foundation.config import rehearse

    prepare_libraries()
    command = trial.command
    with other_options_named(command.conf_dirs, trial.choices):
        arguments = check_config(plain(trial.config), trial.choices, trial.typed, command.allowed)
    _refuse_data_folder(choose_output_dir("", arguments.get("output_dir") or str(Path(FOLDER, arguments["name"]))))
    if command.multirun:
        rehearse(run, arguments)
    return lambda: _compare(arguments)


def _refuse_data_folder(folder: Path) -> None:
    """Refuse an output folder that is the pipeline's: no other's files stand among those that its ledger speaks of."""
    if (folder / "manifest.json").exists() or (folder / "work").is_dir():
        raise ConfigError(
            f"output_dir: {folder} is a data folder; the page goes to a folder of its own: leave output_dir out for "
            "comparisons/<name>, or give another one"
        )


def _compare(arguments: dict[str, Any]) -> int:
    from data_pipeline.compare_tokenizers.compare import run
    from data_pipeline.compare_tokenizers.summary import report

    report(run(**arguments))
    return 0


if __name__ == "__main__":
    with reader_may_leave():
        main()
