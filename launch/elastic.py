"""torchrun, as launcher=torchrun starts it: its own program and arguments, without its report of what its ranks told.

`python -m launch.elastic --standalone --nproc_per_node=2 ... launch/train.py ...`. A stop that was asked for ends in
torchrun with a traceback, and an error that the first line of the console has named with forty lines more.
"""

from __future__ import annotations

import logging
import sys

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from pretrain.torchrun import END, word

LOGGERS = [f"torch.distributed.elastic.{name}" for name in ("multiprocessing.api", "agent.server.api")]
OF_A_STOP = ("Sending process", "Received %s death signal")  # what they log of one; of ranks that it kills they warn


def main() -> int:
    """Run the ranks to their end; return the exit code of the first that failed, else 0."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(is_news)
    try:
        run.main(sys.argv[1:])
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    except ChildFailedError as failed:
        _, first = failed.get_first_failure()
        return int(first.exitcode) if first.exitcode > 0 else 128 - int(first.exitcode)
    return 0


def is_news(record: logging.LogRecord) -> bool:
    """Return whether a line of torchrun's log says what no rank has said."""
    return not str(record.msg).startswith(OF_A_STOP) and not word(END)


if __name__ == "__main__":
    sys.exit(main())
