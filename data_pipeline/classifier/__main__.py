"""A classifier of your own: python -m data_pipeline.classifier good.paths=wiki.jsonl bad.paths=web.jsonl name=quality.

`--help` lists what can be set. What comes out is a file, which the cleaning rule `Classifier` scores documents by.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from data_pipeline.executors.kernels import prepare_numba
from foundation.command import guarded, run_command
from foundation.config.compose import CommandLine, plain, run_hydra
from foundation.config.suggest import other_options_named
from foundation.errors import ConfigError
from foundation.reader import reader_may_leave

CONF_DIR = Path(__file__).resolve().parents[2] / "conf"
STOPPED = "stopped; a model that was there before is untouched"


def main() -> None:
    """Read the command line and train; the exit codes are those of `run_command`."""
    run_command(_compose_and_run, STOPPED)


def _compose_and_run(scratch_dir: Path) -> int:
    typed = sys.argv[1:]
    command = CommandLine(typed, CONF_DIR, "classifier", scratch_dir)
    if command.wants_help:
        print(command.help())
        return 0
    if command.multirun and not any(text.startswith(("name=", "output_dir=")) and "${" in text for text in typed):
        shown = "python -m data_pipeline.classifier -m l2=0.1,0.01 name='quality-${l2}'"
        raise ConfigError(f"-m: the models would share one folder; give each its own name, e.g. {shown}")
    sys.argv = [sys.argv[0], *command.arguments]
    codes = [0]
    run_hydra(command, "classifier", lambda config: codes.append(guarded(lambda: _train(config, command, typed))))
    return max(codes)


def _train(config: DictConfig, command: CommandLine, typed: list[str]) -> int:
    """Train by one composed config; Hydra would shorten an error's traceback, so errors end here."""
    # these bring numba and Arrow: half a second that help and a mistyped option need not wait for
    from data_pipeline.classifier.summary import report
    from data_pipeline.classifier.train import check_config, run

    prepare_numba()
    with other_options_named(command.conf_dirs, HydraConfig.get().runtime.choices):
        arguments = check_config(plain(config), typed, command.allowed)
    report(run(**arguments))
    return 0


if __name__ == "__main__":
    with reader_may_leave():
        main()
