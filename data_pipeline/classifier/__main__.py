"""A classifier of your own: python -m data_pipeline.classifier good.paths=wiki.jsonl bad.paths=web.jsonl name=quality.

`--help` lists what can be set. What comes out is a file, which the cleaning rule `Classifier` scores documents by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from data_pipeline.executors.libraries import prepare_libraries
from foundation.composed import Composed, Trial
from foundation.config.compose import plain
from foundation.config.suggest import other_options_named
from foundation.reader import reader_may_leave

COMMAND = Composed(
    config="classifier",
    stopped="stopped; a model that was there before is untouched",
    trials="the models",
    line="python -m data_pipeline.classifier",
    stem="quality",
)


def main() -> None:
    """Read the command line and train; the exit codes are those of `run_command`."""
    COMMAND.run(_prepare)


def _prepare(trial: Trial) -> Callable[[], int]:
    """Check one composed config; return what trains by it."""
    # these bring numba and Arrow: half a second that help and a mistyped option need not wait for
    from data_pipeline.classifier.train import check_config, rehearse_run

    prepare_libraries()
    with other_options_named(trial.command.conf_dirs, trial.choices):
        arguments = check_config(plain(trial.config), trial.typed, trial.command.allowed)
    if trial.command.multirun:
        rehearse_run(arguments)
    return lambda: _train(arguments)


def _train(arguments: dict[str, Any]) -> int:
    from data_pipeline.classifier.summary import report
    from data_pipeline.classifier.train import run

    report(run(**arguments))
    return 0


if __name__ == "__main__":
    with reader_may_leave():
        main()
