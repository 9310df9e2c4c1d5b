"""Train a model on token shards: torchrun launch/train.py model=gpt_small. `--help` lists what can be set.

A process that torchrun or a launcher started trains. Any other one trains in place, or starts a process group for the
run (launcher=torchrun), or one child after the other for the trials of a sweep (-m).
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import time
from pathlib import Path

from foundation.config.compose import CommandLine
from foundation.errors import ConfigError, GroundworkError
from foundation.files import write_json
from foundation.reader import reader_may_leave, terminal_may_close
from launch.exit_codes import INTERRUPTED, REFUSED, STOPPED, TYPED_AGAIN
from launch.parent import end_with_parent
from pretrain.torchrun import PARENT, code_to_leave_with, file_store, is_launched, is_worker, refuse_restarts, speaks

CONF_DIR = Path(__file__).resolve().parent.parent / "conf"
LEFT = f"stopped without saving: {TYPED_AGAIN}"
ROOM, ACCESS = "make room there, or write elsewhere with runs_dir=", "see that this process may read and write there"
ADVICE = {errno.ENOSPC: ROOM, errno.EDQUOT: ROOM}  # an OSError that the user can mend
ADVICE |= dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO), ACCESS)


def main() -> None:
    """Read the command line and train.

    Exits with 0 when done or saved, 2 for what users can mend, 3 after the guard's stop, 4 when it was started again
    and failed at the same step each time, 130 after a Ctrl-C.
    """
    end_with_launcher()
    if (code := code_to_leave_with(REFUSED)) is not None:
        sys.exit(code)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            code = compose_and_run(Path(scratch))
        if (
            code == STOPPED and is_launched()
        ):  # torchrun by itself starts ranks again, which then read it in status.json
            refuse_restarts(code)
    except GroundworkError as error:
        code = refuse(error)
    except OSError as error:
        if error.errno not in ADVICE:
            raise
        refused = GroundworkError(f"{error}; {ADVICE[error.errno]}")
        refused.restart_helps = error.errno == errno.EIO  # a disk that is full or closed stays so
        code = refuse(refused)
    except KeyboardInterrupt:
        print(LEFT, file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)


def end_with_launcher() -> None:
    """Have a worker asked to stop when its launcher dies: killed, that can't tell them, and nobody restarts them."""
    file_store()  # as the parent's number, nothing for what a user's class starts
    parent = os.environ.pop(PARENT, None)  # torchrun doesn't say: its store is asked when the ranks meet
    if is_worker():
        end_with_parent(None if parent is None else int(parent))


def refuse(error: GroundworkError) -> int:
    """Say what the user can mend; and hand it to torchrun, whose report would otherwise hide it."""
    if speaks(str(error)):
        print(f"error: {error}", file=sys.stderr, flush=True)
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        message = {
            "message": str(error),
            "extraInfo": {"py_callstack": f"error: {error}", "timestamp": str(int(time.time()))},
        }
        write_json(Path(path), {"message": message})
    if not error.restart_helps:
        refuse_restarts(error.exit_code)
    return error.exit_code


def compose_and_run(scratch_dir: Path) -> int:
    """Compose the config once, or once a trial, and run it; return the exit code.

    Raises:
        GroundworkError: what the user can mend; before the first trial starts where a config is wrong.
    """
    command = CommandLine(sys.argv[1:], CONF_DIR, "train", scratch_dir)
    if command.wants_help:
        print(command.help())
        return 0
    if command.multirun and is_worker():
        raise ConfigError(
            "-m: every rank that a launcher starts would sweep for itself; type "
            "python launch/train.py -m ... launcher=torchrun launcher.processes=<ranks>"
        )
    from launch.trials import run_trials  # brings torch: a second that help and a mistyped option need not wait for

    return run_trials(command)


if __name__ == "__main__":
    with reader_may_leave(), terminal_may_close():
        main()
