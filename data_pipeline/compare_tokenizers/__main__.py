"""Tokenizers side by side: python -m data_pipeline.compare_tokenizers data_dir=data/web tokenizers='[data/web,x.json]'.

`--help` lists what can be set. What comes out is one page to choose by, and its figures.
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
    config="compare_tokenizers",
    stopped="stopped; a page that was there before is untouched",
    trials="the pages",
    sweep="python -m data_pipeline.compare_tokenizers -m data_dir=data/web,data/books name='of-${data_dir}' ...",
)


def main() -> None:
    """Read the command line and compare; the exit codes are those of `run_command`."""
    COMMAND.run(_compare)


def _compare(config: DictConfig, command: CommandLine, typed: list[str]) -> int:
    """Compare by one composed config."""
    # these bring numba and Arrow: half a second that help and a mistyped option need not wait for
    from data_pipeline.compare_tokenizers.compare import check_config, run
    from data_pipeline.compare_tokenizers.summary import report

    prepare_libraries()
    choices = HydraConfig.get().runtime.choices
    with other_options_named(command.conf_dirs, choices):
        arguments = check_config(plain(config), choices, typed, command.allowed)
    report(run(**arguments))
    return 0


if __name__ == "__main__":
    with reader_may_leave():
        main()
