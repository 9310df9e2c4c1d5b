"""What is new in a run's files, and when it is sent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pretrain.json_lines import JsonLines
from pretrain.metrics.alerts.desk import Desk
from pretrain.metrics.alerts.events import KILLED, Event, ended, stalls_in
from pretrain.metrics.alerts.follow import Follower, standing
from pretrain.metrics.alerts.messages import Message
from tests.pretrain.metrics.alerts.lines import (
    Clock,
    hang,
    sender,
    skip,
    spike,
)


def test_a_journal_that_is_written_anew_is_followed(run_dir: Path) -> None:
    journal = JsonLines(run_dir / "journal.jsonl")
    journal.append(skip(1))
    follower = Follower(run_dir, standing(run_dir))

    def look() -> list[int | None]:
        return [event.step for event in follower.new()]

    assert look() == []
    journal.append(skip(2))
    journal.append(skip(3))
    assert look() == [2, 3]
    journal.drop_after(1)  # another file, and a shorter one
    journal.append(skip(2))
    journal.append(skip(4))
    assert look() == [4]
    with journal.path.open("ab") as file:  # a line that is being written
        line = json.dumps(skip(5)).encode()
        file.write(line[:40])
        file.flush()
        assert look() == []
        file.write(line[40:] + b"\n")
    assert look() == [5] and look() == []
    journal.append({"event": "skip", "step": "five", "reason": None})  # of a version that tells it in other words
    journal.append(skip(6))
    assert look() == [6]
    shutil.rmtree(run_dir)
    assert look() == []


@pytest.mark.parametrize(("last_step", "why"), [(41, "rank 0 (process 4711)"), (60, "kill -9, out of memory")])
def test_a_stall_is_why_a_run_was_killed_unless_it_came_further(last_step: int, why: str, run_dir: Path) -> None:
    (stall,) = stalls_in(hang(41), run_dir)
    event = ended({"status": KILLED}, last_step, False, run_dir, stall)
    assert event.what.startswith(f"the run ended without a word after step {last_step}: {why}")


@pytest.fixture
def desk(run_dir: Path) -> tuple[Desk, list[Message], Clock]:
    sent, clock = list[Message](), Clock()
    return Desk(sender(run_dir), ["spike", "stop"], 300.0, sent.append, str, pytest.fail, clock), sent, clock


def test_of_a_kind_there_is_one_message_in_the_interval_and_none_is_lost(
    desk: tuple[Desk, list[Message], Clock], run_dir: Path
) -> None:
    it, sent, clock = desk
    for second in range(1000):  # a spike every ten seconds
        clock.now_s = float(second)
        if second % 10 == 0:
            it.add(spike(second, run_dir))
        it.send_due()
    it.send_due(everything=True)
    assert [message.fields["count"] for message in sent] == [1, 30, 30, 30, 9]
    assert sum(message.fields["count"] for message in sent) == 100 and it.is_empty
    body = sent[1].body.splitlines()
    assert body[0] == "30 of them; the last 5:" and body[1].startswith("step 260 was skipped")
    assert body[5].startswith("step 300 was skipped") and sent[1].subject == (
        "night on node7: a step was skipped at step 300"
    )


def test_a_stop_is_never_held_back_and_what_nobody_wants_is_gone(
    desk: tuple[Desk, list[Message], Clock], run_dir: Path
) -> None:
    it, sent, clock = desk
    stop, start = (Event(kind, kind, 3, "x", "y", ()) for kind in ("stop", "start"))
    for clock.now_s in (0.0, 1.0):
        it.add(stop)
        it.add(start)
        it.send_due()
    assert [message.kind for message in sent] == ["stop", "stop"] and it.is_empty


def test_the_pause_begins_when_a_try_has_failed(run_dir: Path) -> None:
    clock, tries = Clock(), list[float]()

    def hang(_: Message) -> None:
        tries.append(clock.now_s)
        clock.now_s += 10.0
        raise TimeoutError

    it = Desk(sender(run_dir), ["spike"], 0.0, hang, str, lambda _: None, clock)
    it.add(spike(1, run_dir))
    for clock.now_s in (0.0, 10.5, 11.0, 22.5, 23.0):  # 1 s after 10.0, 2 s after 21.0
        it.send_due()
    assert tries == [0.0, 11.0, 23.0]


def test_the_last_try_waits_for_nothing(run_dir: Path) -> None:
    """What failed a moment ago is tried again, and what comes after one that fails is sent."""
    down, sent = [True], list[Message]()

    def send(message: Message) -> None:
        if down[0] or message.kind == "spike":
            raise ConnectionError
        sent.append(message)

    it = Desk(sender(run_dir), ["spike", "stop"], 0.0, send, str, lambda _: None, Clock())
    it.add(spike(1, run_dir))
    it.send_due()
    down[0] = False
    it.add(Event("stop", "failed", 3, "x", "y", ()))
    it.send_due(everything=True)
    assert not sent
    it.send_last()
    assert [message.kind for message in sent] == ["stop"]
