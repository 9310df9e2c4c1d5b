"""Show that a run of your own goes on exactly: a shortened one, whole, then killed, then on other numbers of ranks.

    python launch/verify_resume.py model=gpt_tiny data.path=data/web trainer.micro_batch_size=4

Type what you type after launch/train.py, in the same words; of the run's own only the length, what is written where and
how often it saves and measures are set. These are this command's:

verify.processes=2    ranks of the run, on this machine; 1 where it has one GPU and trains on it
verify.steps=16       length of the shortened run; the schedule keeps its form
verify.kills=3        times it is killed, 1 to 5: every process of it at once, by SIGKILL, each time a start further on
verify.seed=0         of where: in a step, in a save, in an evaluation
verify.world_sizes=4,2,1,4   ranks that one run goes on with, one after the other; those among which the batch can be
                      shared out are tried; null leaves it out

It prints a line a promise and exits with 0 when all hold, 1 when one does not; what was trained is then kept and named.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from foundation.errors import GroundworkError
from foundation.reader import reader_may_leave
from launch.exit_codes import DONE, FAILED, INTERRUPTED, REFUSED
from launch.verify.line import Settings, parse

CONF_DIR = Path(__file__).resolve().parent.parent / "conf"


def main() -> None:
    """Read the command line and verify; exit with 2 for what users can mend, 130 on Ctrl-C."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return
    try:
        settings, typed = parse(arguments)
        with tempfile.TemporaryDirectory() as scratch:
            holds = verify(typed, settings, Path(scratch))
    except GroundworkError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        print("stopped; what was trained so far is removed", file=sys.stderr)
        sys.exit(INTERRUPTED)
    sys.exit(DONE if holds else FAILED)


def verify(typed: list[str], settings: Settings, scratch_dir: Path) -> bool:
    """Return whether every promise holds for the run that `typed` describes.

    Raises:
        GroundworkError: what the user can mend.
    """
    from foundation.config.compose import CommandLine

    command = CommandLine(typed, CONF_DIR, "train", scratch_dir)
    from launch.verify.proof import prove  # brings torch: seconds that help and a mistyped line need not wait for

    return prove(command, settings)


if __name__ == "__main__":
    with reader_may_leave():
        main()
