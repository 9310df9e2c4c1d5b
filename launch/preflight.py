"""Look at a training before it costs anything: a ladder of checks, from the ids of the shards to the time to the end.

    python launch/preflight.py model=gpt_small data.path=data/web
    torchrun --nproc_per_node=8 launch/preflight.py model=gpt_small

Type what you type after launch/train.py. The run is built as a training would build it, on its device and with its
weights: fresh ones, or those of the checkpoint that it would go on from. Each rung prints a line: ok, warning or STOP.
Nothing is written into runs/.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from foundation.config.compose import CommandLine
from foundation.errors import GroundworkError
from foundation.reader import reader_may_leave
from launch.exit_codes import DONE, REFUSED
from launch.train import CONF_DIR, end_with_launcher, refuse
from pretrain.debug.stops import ended_by_stops
from pretrain.torchrun import code_to_leave_with


def main() -> None:
    """Read the command line and look.

    Exits with 0 where the run may begin, 5 where a rung says stop, 2 for what is wrong with the line or its data, 128
    and the number of a signal that ended it: 130 after a Ctrl-C.
    """
    end_with_launcher()
    if (code := code_to_leave_with(REFUSED)) is not None:
        sys.exit(code)
    try:
        with ended_by_stops(), tempfile.TemporaryDirectory() as scratch:
            compose_and_look(Path(scratch))
        code = DONE
    except GroundworkError as error:
        error.restart_helps = False  # it looks once
        code = refuse(error)
    sys.exit(code)


def compose_and_look(scratch_dir: Path) -> None:
    """Compose the config once, or once a trial, and look at each run; what starts ranks for the run starts them here.

    Raises:
        GroundworkError: what the user can mend; NotCleared where a rung says stop.
    """
    command = CommandLine(sys.argv[1:], CONF_DIR, "train", scratch_dir)
    if command.wants_help:
        print(command.help(__doc__))
        return
    from launch.looks import look  # brings torch: a second that help and a mistyped option need not wait for

    look(command)


if __name__ == "__main__":
    with reader_may_leave():
        main()
