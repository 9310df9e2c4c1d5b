"""Tokenizers side by side: python -m data_pipeline.compare_tokenizers data_dir=data/web tokenizers='[data/web,gpt2]'.

`--help` lists what can be set. What comes out is one page to choose by, and its figures.
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
STOPPED = "stopped; a page that was there before is untouched"


def main() -> None:
    """Read the command line and compare; the exit codes are those of `run_command`."""
    run_command(_compose_and_run, STOPPED)


def _compose_and_run(scratch_dir: Path) -> int:
    typed = sys.argv[1:]
    command = CommandLine(typed, CONF_DIR, "compare_tokenizers", scratch_dir)
    if command.wants_help:
        print(command.help())
        return 0
    if command.multirun and not any(text.startswith(("name=", "output_dir=")) and "${" in text for text in typed):
        shown = "python -m data_pipeline.compare_tokenizers -m data_dir=data/web,data/books name='of-${data_dir}' ..."
        raise ConfigError(f"-m: the pages would share one folder; give each its own name, e.g. {shown}")
    sys.argv = [sys.argv[0], *command.arguments]
    codes = [0]
    run_hydra(
        command, "compare_tokenizers", lambda config: codes.append(guarded(lambda: _compare(config, command, typed)))
    )
    return max(codes)


def _compare(config: DictConfig, command: CommandLine, typed: list[str]) -> int:
    """Compare by one composed config; Hydra would shorten an error's traceback, so errors end here."""
    # these bring numba and Arrow: half a second that help and a mistyped option need not wait for
    from data_pipeline.compare_tokenizers.compare import check_config, run
    from data_pipeline.compare_tokenizers.summary import report

    prepare_numba()
    choices = HydraConfig.get().runtime.choices
    with other_options_named(command.conf_dirs, choices):
        arguments = check_config(plain(config), choices, typed, command.allowed)
    report(run(**arguments))
    return 0


if __name__ == "__main__":
    with reader_may_leave():
        main()
