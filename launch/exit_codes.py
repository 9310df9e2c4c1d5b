"""The exit codes of launch/train.py and its launchers. Imports nothing."""

from __future__ import annotations

DONE = 0  # finished, or saved after a cluster's signal
FAILED = 1  # an error of ours
REFUSED = 2  # what the user can mend
STOPPED = 3  # by the guard
CRASH_LOOP = 4  # started again, it failed at the same step each time
INTERRUPTED = 130  # 128 + SIGINT, what shells say of a Ctrl-C: `train && next` then ends as well
