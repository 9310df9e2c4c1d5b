"""Reading ahead never changes what is read; jumps, errors and the end are seen by the caller."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.data.prefetch import Prefetcher


@settings(max_examples=50, deadline=None)
@given(steps=st.lists(st.integers(0, 12), max_size=30), ahead=st.integers(0, 4))
def test_any_sequence_of_steps_gets_its_own_items(steps: list[int], ahead: int) -> None:
    prefetcher = Prefetcher(lambda step: step * step, ahead)
    assert [prefetcher.get(step) for step in steps] == [step * step for step in steps]
    prefetcher.close()


def test_the_next_steps_are_read_before_they_are_asked_for_and_no_more() -> None:
    read: list[int] = []
    prefetcher = Prefetcher(lambda step: read.append(step), 3)
    prefetcher.get(7)
    wait_until(lambda: len(read) == 4)
    time.sleep(0.05)
    assert read == [7, 8, 9, 10]
    prefetcher.close()


def test_after_a_jump_what_is_outside_the_window_is_dropped() -> None:
    held, read = threading.Event(), []

    def slow(step: int) -> int:
        read.append(step)
        if step == 1:
            held.wait(10)
        return step

    prefetcher = Prefetcher(slow, 2)
    prefetcher.get(0)
    wait_until(lambda: 1 in read)
    threading.Timer(0.05, held.set).start()
    assert prefetcher.get(100) == 100
    assert prefetcher.get(1) == 1
    assert read.count(1) == 2  # read again: the first reading was let go
    prefetcher.close()


def test_an_error_comes_with_its_message_at_its_step_and_a_second_try_reads_again() -> None:
    broken = {3}

    def read(step: int) -> int:
        if step in broken:
            raise ValueError(f"block {step} is damaged")
        return step

    prefetcher = Prefetcher(read, 4)
    assert [prefetcher.get(step) for step in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="block 3 is damaged"):
        prefetcher.get(3)
    broken.clear()
    assert prefetcher.get(3) == 3
    prefetcher.close()


def test_close_ends_the_thread_even_while_it_reads() -> None:
    def threads() -> int:
        return sum(thread.name == "groundwork-prefetch" for thread in threading.enumerate())

    before = threads()
    prefetcher = Prefetcher(lambda step: time.sleep(0.02), 5)
    prefetcher.get(0)
    assert threads() == before + 1
    prefetcher.close()
    prefetcher.close()
    assert threads() == before


def test_without_reading_ahead_there_is_no_thread() -> None:
    prefetcher = Prefetcher(lambda step: threading.current_thread().name, 0)
    assert prefetcher.get(0) == threading.current_thread().name
    prefetcher.close()


def wait_until(holds: object, timeout_s: float = 10.0) -> None:
    assert callable(holds)
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)
