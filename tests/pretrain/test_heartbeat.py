"""What a rank writes is what its watchdog reads, and writing costs next to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pretrain.heartbeat import Heartbeat, Page, Phase, make_page


@pytest.fixture
def page(tmp_path: Path) -> Path:
    make_page(tmp_path / "page", num_ranks=3)
    return tmp_path / "page"


def test_a_sign_is_seen_where_it_was_given(page: Path) -> None:
    heart = Heartbeat()
    heart.at(Phase.FORWARD, step=1)  # goes nowhere: there is no page yet
    heart.attach(page, local_rank=1, rank=5)
    before = time.monotonic_ns()
    heart.at(Phase.LOADING, step=7)
    heart.at(Phase.FORWARD, micro_batch=3)
    (beat,) = Page(page).beats()
    assert (beat.pid, beat.rank, beat.step, beat.micro_batch) == (os.getpid(), 5, 7, 3)
    assert (beat.phase, beat.steps_begun, beat.waiting) == (Phase.FORWARD, 1, False)
    assert before <= beat.beat_ns <= time.monotonic_ns()
    with heart.waiting():
        (inside,) = Page(page).beats()
    (after,) = Page(page).beats()
    assert (inside.waiting, inside.collectives, after.waiting, after.collectives) == (True, 1, False, 1)
    assert beat.beat_ns < inside.beat_ns < after.beat_ns


def test_a_step_is_under_way_from_its_batch_to_its_update() -> None:
    heart, found = Heartbeat(), []
    for phase in (Phase.STARTING, Phase.LOADING, Phase.FORWARD, Phase.UPDATE):
        heart.at(phase, step=30)
        found.append(heart.step_under_way)
    for phase in (Phase.DEVICE, Phase.SAVING, Phase.EVALUATING):
        heart.at(phase, step=31)
        found.append(heart.step_under_way)
    assert found == [None, 31, 31, 31, None, None, None]


def test_another_process_sees_it(page: Path) -> None:
    line = f"""
import sys
from pathlib import Path
from pretrain.heartbeat import Heartbeat, Phase
heart = Heartbeat()
heart.attach(Path({str(page)!r}), local_rank=2, rank=2)
heart.at(Phase.SAVING, step=11)
print("torch" in sys.modules, "numpy" in sys.modules)
"""
    child = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert child.stdout == "False False\n"
    (beat,) = Page(page).beats()
    assert (beat.rank, beat.step, beat.phase) == (2, 11, Phase.SAVING)


def test_the_page_is_its_owners_alone(page: Path) -> None:
    assert page.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        make_page(page, num_ranks=1)
    link = page.with_name("link")
    link.symlink_to(page)
    with pytest.raises(OSError, match="link"):
        Heartbeat().attach(link, 0, 0)


def test_every_phase_has_words() -> None:
    assert all(phase.words for phase in Phase)
