"""Who hangs and who waits, told from signs of life alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pretrain.heartbeat import Beat, Phase
from pretrain.watchdog.judge import LONG_FACTOR, SEEN_FACTOR, SLACK_S, Judge, exchange_s

LIMIT_S = 10.0
AT = Beat(
    pid=1,
    rank=0,
    beat_ns=1,
    step=7,
    micro_batch=1,
    phase=Phase.FORWARD,
    collectives=20,
    waiting=False,
    steps_begun=8,
    local_rank=0,
)


def judge_after(seconds: float, beats: list[Beat], all_here: bool = True) -> Judge:
    """A judge that has looked every second for so long, and seen no new sign."""
    judge = Judge(LIMIT_S, 1.0, all_here)
    for _ in range(int(seconds) + 1):
        judge.look(beats, 1.0)
    return judge


def hanging(seconds: float, *beats: Beat, all_here: bool = True) -> list[int]:
    named = [replace(beat, rank=rank) for rank, beat in enumerate(beats)]
    return [beat.rank for beat in judge_after(seconds, named, all_here).hanging(named)]


WAITS = replace(AT, waiting=True, collectives=21)


@pytest.mark.parametrize(
    ("beats", "named"),
    [
        ([AT, WAITS, WAITS], [0]),
        ([WAITS, replace(AT, phase=Phase.LOADING)], [1]),
        ([WAITS, replace(AT, phase=Phase.UPDATE)], [1]),
        # in the backward in which gradients cross the ranks: the one that is not there yet
        ([replace(AT, phase=Phase.EXCHANGE), AT], [1]),
        # all wait: for the one that has begun fewer exchanges, a step or a micro batch behind
        ([WAITS, replace(WAITS, collectives=20)], [1]),
        ([replace(AT, phase=Phase.DEVICE, step=9), replace(AT, phase=Phase.DEVICE)], [1]),
        ([replace(AT, phase=Phase.EXCHANGE), WAITS], [0]),
        # at the same place: not to be told apart by signs
        ([replace(AT, phase=Phase.EXCHANGE)] * 2, [0, 1]),
        # two at work: the one behind
        ([replace(AT, phase=Phase.UPDATE), AT], [1]),
    ],
)
def test_the_rank_that_the_others_wait_for_is_named(beats: list[Beat], named: list[int]) -> None:
    assert hanging(LIMIT_S, *beats) == []
    assert hanging(LIMIT_S + 1, *beats) == named


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.SAVING, Phase.EVALUATING, Phase.ENDING])
def test_what_may_take_long_has_longer(phase: Phase) -> None:
    assert hanging(LONG_FACTOR * LIMIT_S, replace(AT, phase=phase), WAITS) == []
    assert hanging(LONG_FACTOR * LIMIT_S + 1, replace(AT, phase=phase), WAITS) == [0]


def test_the_first_step_compiles() -> None:
    assert hanging(LONG_FACTOR * LIMIT_S, replace(AT, steps_begun=1), WAITS) == []
    assert hanging(LONG_FACTOR * LIMIT_S + 1, replace(AT, steps_begun=1), WAITS) == [0]


def test_a_rank_that_gives_signs_is_waited_for() -> None:
    judge = Judge(LIMIT_S, 1.0, all_here=True)
    for second in range(100):
        beats = [replace(AT, beat_ns=second // 9), replace(WAITS, rank=1)]
        judge.look(beats, 1.0)
        assert judge.hanging(beats) == []


def test_a_slow_step_that_ended_makes_the_next_ones_patient() -> None:
    judge = judge_after(9.0, [AT])
    judge.look([replace(AT, beat_ns=2)], 1.0)
    for _ in range(int(SEEN_FACTOR * 9.0)):
        judge.look([replace(AT, beat_ns=2)], 1.0)
        assert judge.hanging([replace(AT, beat_ns=2)]) == []
    judge.look([replace(AT, beat_ns=2)], 1.0)
    assert judge.hanging([replace(AT, beat_ns=2)])


def test_a_machine_that_stood_still_is_no_hang() -> None:
    judge = judge_after(1.0, [AT])
    judge.look([AT], 3600.0)  # suspended, and the watchdog with it
    assert judge.hanging([AT]) == []


def test_ranks_that_may_wait_for_another_node_are_left_to_its_watchdog() -> None:
    assert hanging(LIMIT_S + 1, WAITS, WAITS, all_here=False) == []
    named_elsewhere_s = LONG_FACTOR * LIMIT_S + SLACK_S / 2
    assert hanging(named_elsewhere_s, WAITS, WAITS, all_here=False) == []
    assert hanging(named_elsewhere_s + 1, WAITS, WAITS, all_here=False) == [0, 1]
    assert hanging(LIMIT_S + 1, AT, WAITS, all_here=False) == [0]


@pytest.mark.parametrize("all_here", [True, False])
def test_whatever_a_rank_has_done_it_is_named_before_an_exchange_gives_up(all_here: bool) -> None:
    slow = replace(AT, phase=Phase.EVALUATING)
    judge = judge_after(LONG_FACTOR * LIMIT_S - 1, [slow], all_here)
    assert SEEN_FACTOR * judge.silent_s(0) < exchange_s(LIMIT_S) or LIMIT_S < 300
    for beat in (replace(AT, beat_ns=2), replace(WAITS, beat_ns=3)):
        judge.look([beat], 1.0)
        assert judge.limit_s(beat) <= LONG_FACTOR * LIMIT_S
        seconds = 0.0
        while not judge.hanging([beat]):
            judge.look([beat], 1.0)
            seconds += 1.0
            assert seconds < exchange_s(LIMIT_S) - SLACK_S / 4
