"""A classifier of your own: python -m data_pipeline.classifier good.paths=wiki.jsonl bad.paths=web.jsonl name=quality.

`--help` lists what can be set. What comes out is a file, which the cleaning rule `Classifier` scores documents by.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from data_pipeline.executors.kernels import prepare_numba
from foundation.config.compose import CommandLine, plain, run_hydra
from foundation.config.suggest import other_options_named
from foundation.errors import ConfigError, GroundworkError
from foundation.reader import reader_may_leave
from foundation.secrets import print_error, print_traceback

CONF_DIR = Path(__file__).resolve().parents[2] / "conf"
STOPPED = "stopped; a model that was there before is untouched"


def main() -> None:
    """Read the command line and train; exit with 0 when done, 2 for what users can mend, 1 for a defect (its traceback
    is printed), 130 when stopped."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            code = _compose_and_run(Path(scratch))
    except GroundworkError as error:
        print_error(error)
        code = 2
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        code = 128 + signal.SIGINT
    except BrokenPipeError:  # for `reader_may_leave`
        raise
    except Exception:
        print_traceback()
        code = 1
    sys.exit(code)


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
    run_hydra(command, "classifier", lambda config: codes.append(_guarded(config, command, typed)))
    return max(codes)


def _guarded(config: DictConfig, command: CommandLine, typed: list[str]) -> int:
    """Train by one composed config; Hydra would shorten an error's traceback, so errors end here."""
    # these bring numba and Arrow: half a second that help and a mistyped option need not wait for
    from data_pipeline.classifier.summary import report
    from data_pipeline.classifier.train import check_config, run

    prepare_numba()
    try:
        with other_options_named(command.conf_dirs, HydraConfig.get().runtime.choices):
            arguments = check_config(plain(config), typed, command.allowed)
        report(run(**arguments))
        return 0
    except GroundworkError as error:
        print_error(error)
        return 2
    except Exception:
        print_traceback()
        return 1


def _stop(number: int, frame: FrameType | None) -> None:
    """End as by Ctrl-C: leaving the blocks of the training ends its workers and frees its folder."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    with reader_may_leave():
        main()
