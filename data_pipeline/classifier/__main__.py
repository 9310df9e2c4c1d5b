"""A classifier of your own: python -m data_pipeline.classifier good.paths=wiki.jsonl bad.paths=web.jsonl name=quality.

`--help` lists what can be set. What comes out is a file, which the cleaning rule `Classifier` scores documents by.
"""

from __future__ import annotations

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from data_pipeline.executors.libraries import prepare_libraries
from foundation.composed import Composed
from foundation.config.compose import CommandLine, plain
from foundation.config.suggest import other_options_named
from foundation.reader import reader_may_leave

COMMAND = Composed(
    config="classifier",
    stopped="stopped; a model that was there before is untouched",
    trials="the models",
    sweep="python -m data_pipeline.classifier -m l2=0.1,0.01 name='quality-${l2}'",
)


def main() -> None:
    """Read the command line and train; the exit codes are those of `run_command`."""
    COMMAND.run(_train)


def _train(config: DictConfig, command: CommandLine, typed: list[str]) -> int:
    """Train by one composed config."""
    # these bring numba and Arrow: half a second that help and a mistyped option need not wait for
    from data_pipeline.classifier.summary import report
    from data_pipeline.classifier.train import check_config, run

    prepare_libraries()
    with other_options_named(command.conf_dirs, HydraConfig.get().runtime.choices):
        arguments = check_config(plain(config), typed, command.allowed)
    report(run(**arguments))
    return 0


if __name__ == "__main__":
    with reader_may_leave():
        main()
