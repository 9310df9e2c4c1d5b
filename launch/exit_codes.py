"""The exit codes of launch/train.py and its launchers, and what a run that was left can do. Imports nothing."""

from __future__ import annotations

DONE = 0  # finished, or saved after a cluster's signal
FAILED = 1  # an error of ours
REFUSED = 2  # what the user can mend
STOPPED = 3  # by the guard
CRASH_LOOP = 4  # started again, it failed at the same step each time
NOT_CLEARED = 5  # a rung of preflight said stop: nothing was trained
INTERRUPTED = 130  # 128 + SIGINT, what shells say of a Ctrl-C: `train && next` then ends as well
# 128 + a signal's number: one that came before the training, so 129 (SIGHUP), 138 (SIGUSR1) or 143 (SIGTERM), has
# nothing to save
TYPED_AGAIN = "typed again, a run goes on from its last checkpoint, or begins anew without one"
