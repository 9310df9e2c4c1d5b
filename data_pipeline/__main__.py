"""Raw text to token shards: python -m data_pipeline corpus=jsonl corpus.paths='[dumps/*.jsonl.zst]' name=web.

`--help` lists what can be set. The same command again goes on where it was stopped and redoes only what changed.
"""

from __future__ import annotations

import shlex
import sys

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from data_pipeline.executors.libraries import prepare_libraries
from foundation.composed import Composed
from foundation.config.compose import CommandLine, plain
from foundation.config.suggest import other_options_named
from foundation.errors import ConfigError
from foundation.reader import reader_may_leave

COMMAND = Composed(
    config="pipeline",
    stopped="stopped; what is finished is kept: the same command goes on",
    trials="the trials",
    sweep="python -m data_pipeline -m dedup.threshold=0.7,0.8 name='web-${dedup.threshold}'",
)


def main() -> None:
    """Read the command line and run; the exit codes are those of `run_command`."""
    COMMAND.run(_run)


def _run(config: DictConfig, command: CommandLine, typed: list[str]) -> int:
    """Run one composed config."""
    # these bring numba and Arrow: half a second that help and a mistyped option need not wait for
    from data_pipeline.pipeline import check_config, run
    from data_pipeline.preflight.preflight import check_preflight
    from data_pipeline.preflight.probing import config_hash
    from data_pipeline.preflight.show import print_truth
    from data_pipeline.summary import print_summary
    from foundation.config import build

    prepare_libraries()
    with other_options_named(command.conf_dirs, HydraConfig.get().runtime.choices):
        tree = _named(plain(config))
        preflight = check_preflight(tree, command.allowed)
        arguments = check_config(tree, command.allowed)
    if not build(preflight).goes_on(arguments):
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


def _named(tree: dict[str, object]) -> dict[str, object]:
    """Return the config with its name: by default the chosen corpus's, so that corpora don't share a folder.

    Raises:
        ConfigError: there is neither.
    """
    if tree.get("name") is None:
        chosen = HydraConfig.get().runtime.choices
        if "corpus" not in chosen:
            raise ConfigError("name: null, and this config chooses no option of corpus to be named after; set name=")
        tree = tree | {"name": chosen["corpus"]}
    return tree


if __name__ == "__main__":
    with reader_may_leave():
        main()
