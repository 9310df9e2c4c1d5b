"""A run looked at before it costs anything: the whole ladder for its own command, a short look before a training."""

from __future__ import annotations

from pathlib import Path

from pretrain.debug.errors import NotCleared
from pretrain.debug.ladder import Climb, climb
from pretrain.debug.pulse import Pulse
from pretrain.debug.rung import Finding, Subject, Verdict
from pretrain.debug.rungs import all_rungs, short_rungs
from pretrain.debug.show import closing, print_finding
from pretrain.debug.stops import LookStopped, ended_by_stops, number_of_signal
from pretrain.debug.warm import read_checkpoint
from pretrain.run import Run


def look_before(run: Run, run_dir: Path) -> None:
    """Look at a run that is about to begin with fresh weights, as `trainer.preflight` says; called on every rank.

    Weights, moments and random states are afterwards as before, to the bit; nothing is written.

    Args:
        run: assembled, before its first step. run_dir: its folder.
    Raises:
        NotCleared: a rung says stop, on every rank. LookStopped: a stop was asked for; it ends the look at once.
    """
    if run.preflight == "none":
        return
    with ended_by_stops():
        if run.mesh.any(run.signal.requested):
            raise LookStopped(number_of_signal(run.signal.asked_by))
        if run.preflight == "full":
            whole_ladder(Subject(run, run_dir, pulse=Pulse(run.mesh.is_main)))
        else:
            short_look(Subject(run, run_dir, is_short=True))


def inspect_run(run: Run, run_dir: Path, resume: str) -> None:
    """Try the whole ladder on a run as it would begin, or go on, and print it; called on every rank.

    Args:
        run: assembled. run_dir: runs/<run_name>, of which nothing is changed. resume: the config's.
    Raises:
        NotCleared: a rung says stop, on every rank.
    """
    saved_line = read_checkpoint(run, run_dir, resume)
    whole_ladder(Subject(run, run_dir, saved_line=saved_line, pulse=Pulse(run.mesh.is_main)))


def whole_ladder(subject: Subject) -> None:
    """Try every rung and print its line.

    Raises:
        NotCleared: one says stop.
    """
    run, say = subject.run, print if subject.run.mesh.is_main else _hush
    say(
        f"preflight: with {'fresh weights' if subject.is_fresh else f'the weights of step {run.progress.step}'}",
        flush=True,
    )
    made = climb(subject, all_rungs(), print_finding if run.mesh.is_main else _hush)
    say(closing(made), flush=True)
    require_cleared(made)


def short_look(subject: Subject) -> None:
    """Try a few rungs and print those that have something to say, and one line of all.

    Raises:
        NotCleared: one says stop.
    """
    is_main = subject.run.mesh.is_main

    def say(finding: Finding) -> None:
        if is_main and finding.verdict is not Verdict.OK:
            print_finding(finding)

    made = climb(subject, short_rungs(), say)
    if is_main:
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
            raise NotCleared(f"preflight: {finding.name}: {told}; trainer.preflight=none begins without this look")


def _hush(*_: object, **__: object) -> None:
    pass
