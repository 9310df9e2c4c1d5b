"""Which of several ranks at one place holds the others up, and how it is said."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from pretrain.heartbeat import Beat, Phase
from pretrain.watchdog.report import HELD, STATES, at_fault, fate, headline, innermost, state_of

ONE = Beat(10, 0, 1, 7, 4, Phase.EXCHANGE, 20, False, 8, 0)
OTHER = replace(ONE, pid=11, rank=1, local_rank=1)
THREAD = 'Thread 0x1 (most recent call first):\n  File "prefetch.py", line 85 in _run\n\n'
IN_ENGINE = THREAD + 'Current thread 0x2 (most recent call first):\n  File "graph.py", line 9 in _engine_run_backward\n'
OWN_CODE = (
    THREAD
    + 'Current thread 0x2 (most recent call first):\n  File "mine.py", line 3 in backward\n'
    + ('  File "graph.py", line 9 in _engine_run_backward\n')
)
ASLEEP = STATES["S"]


def test_a_stack_tells_who_is_in_code_of_its_own() -> None:
    assert innermost(IN_ENGINE) == '  File "graph.py", line 9 in _engine_run_backward'
    assert innermost(OWN_CODE) == '  File "mine.py", line 3 in backward'
    asleep = {0: ASLEEP, 1: ASLEEP}
    assert at_fault([ONE, OTHER], asleep, {0: IN_ENGINE, 1: OWN_CODE}) == [OTHER]
    assert at_fault([ONE, OTHER], asleep, {0: IN_ENGINE, 1: IN_ENGINE}) == [ONE, OTHER]
    assert at_fault([ONE], asleep, {0: OWN_CODE}) == [ONE]


def test_a_stopped_rank_is_at_fault_whatever_the_stacks_say() -> None:
    states = {0: STATES["T"], 1: ASLEEP}
    assert at_fault([ONE, OTHER], states, {0: "", 1: OWN_CODE}) == [ONE]


def test_the_headline_names_rank_place_and_what_comes_of_it() -> None:
    said = headline([OTHER], 301.4, 4, fate(kills=True, held=False, waits_s=2400))
    assert said.startswith("rank 1 (process 11) on ")
    assert "gave no sign for 301 s: step 8, micro batch 4, backward, in which gradients cross the ranks" in said
    assert said.endswith("3 more ranks wait for it; it is killed: restarted, all go on from the newest checkpoint")
    said = headline([ONE, OTHER], 301.4, 2, fate(kills=False, held=False, waits_s=2400))
    assert said.startswith("rank 0 (process 10) and rank 1 (process 11) on ")
    assert said.endswith(
        "they can't be told apart; they are left alone: nobody would start them again; "
        "an exchange that waits 40 min for it ends the run"
    )


def test_alone_nobody_waits_and_what_a_debugger_holds_is_left() -> None:
    assert fate(kills=False, held=False, waits_s=None) == "left alone: nobody would start them again"
    assert fate(kills=True, held=True, waits_s=None) == "left alone: a debugger holds it"
    assert at_fault([ONE, OTHER], {0: STATES["T"], 1: HELD}, {0: "", 1: ""}) == [OTHER]


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc elsewhere")
def test_a_process_that_has_ended_is_said_to_be_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()
    assert state_of(child.pid) in (STATES["Z"], STATES["R"], STATES["S"])
    child.wait()
    assert state_of(child.pid) == "gone"
