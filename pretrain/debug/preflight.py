"""A run looked at before it costs anything: the whole ladder for its own command, a short look before a training."""

from __future__ import annotations

from pathlib import Path

from pretrain.debug.errors import GivenUp, NotCleared
from pretrain.debug.ladder import Climb, climb
from pretrain.debug.rung import Finding, Subject, Verdict
from pretrain.debug.rungs import all_rungs, short_rungs
from pretrain.debug.show import closing, print_finding
from pretrain.debug.warm import read_checkpoint
from pretrain.run import Run


def inspect_run(run: Run, run_dir: Path, resume: str) -> None:
    """Try the whole ladder on a run as it would begin, or go on, and print it; called on every rank.

    Args:
        run: assembled. run_dir: runs/<run_name>, of which nothing is changed. resume: the config's.
    Raises:
        NotCleared: a rung says stop, on every rank.
    """
    is_main = run.mesh.is_main
    saved_line = read_checkpoint(run, run_dir, resume)
    if is_main:
        went_on = f"the weights of step {run.progress.step}" if saved_line is not None else "fresh weights"
        print(f"preflight: with {went_on}", flush=True)
    made = climb(Subject(run, run_dir, saved_line=saved_line), all_rungs(), print_finding if is_main else _hush)
    if is_main:
        print(closing(made), flush=True)
    require_cleared(made)


def look_shortly(run: Run, run_dir: Path) -> None:
    """Take a short look at a run that begins with fresh weights; called on every rank, leaves it as it was to the bit.

    Args:
        run: assembled, before its first step. run_dir: its folder.
    Raises:
        NotCleared: a rung says stop, on every rank.
    """

    def say(finding: Finding) -> None:
        if run.mesh.is_main and finding.verdict is not Verdict.OK:
            print_finding(finding)

    try:
        made = climb(Subject(run, run_dir, is_short=True), short_rungs(), say)
    except GivenUp:
        return  # the loop ends with the stop that was asked for
    if run.mesh.is_main:
        print(closing(made), flush=True)
    require_cleared(made)


def require_cleared(made: Climb) -> None:
    """Raise where a rung said stop.

    Raises:
        NotCleared: names the rung, and what to do.
    """
    for finding in made.findings:
        if finding.verdict is Verdict.STOP:
            told = finding.details[0] if finding.details else finding.figure
            raise NotCleared(f"preflight: {finding.name}: {told}")


def _hush(finding: Finding) -> None:
    pass
