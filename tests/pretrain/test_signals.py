"""A signal is remembered and answered at once."""

from __future__ import annotations

import os
import signal
import time

import pytest

from pretrain.signals import SIGNALS, StopSignal


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_remembered_and_answered_once(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    stop = StopSignal(says=True, under_torchrun=False, saves=True)
    before = signal.getsignal(number)
    with stop.listening():
        assert not stop.requested
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # the same Ctrl-C by another way
        assert stop.requested
    assert capfd.readouterr().err.count("stopping: the state is saved") == 1
    assert signal.getsignal(number) == before


def test_one_rank_of_several_speaks(capfd: pytest.CaptureFixture[str]) -> None:
    stop = StopSignal(says=False, under_torchrun=False, saves=True)
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.requested
    assert capfd.readouterr().err == ""


def test_only_without_torchrun_a_second_ctrl_c_is_offered(capfd: pytest.CaptureFixture[str]) -> None:
    for under_torchrun in (False, True):
        with StopSignal(says=True, under_torchrun=under_torchrun, saves=True).listening():
            os.kill(os.getpid(), signal.SIGTERM)
        said = capfd.readouterr().err
        assert ("a Ctrl-C now leaves without saving" in said) is not under_torchrun
        assert ("torchrun waits 30 s" in said) is under_torchrun


@pytest.mark.parametrize("under_torchrun", [True, False])
def test_what_saves_nothing_promises_no_save(under_torchrun: bool, capfd: pytest.CaptureFixture[str]) -> None:
    with StopSignal(says=True, under_torchrun=under_torchrun, saves=False).listening():
        os.kill(os.getpid(), signal.SIGTERM)
    said = capfd.readouterr().err
    assert said.startswith("stopping: checkpoint=none: nothing is saved")
    assert "state is saved" not in said
    assert "without saving" not in said


def test_a_later_second_ctrl_c_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pretrain.signals.ECHO_S", 0.01)
    stop = StopSignal(says=True, under_torchrun=False, saves=True)
    with stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_cluster_that_asks_again_does_not_end_the_save(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pretrain.signals.ECHO_S", 0.01)
    stop = StopSignal(says=True, under_torchrun=False, saves=True)
    before = signal.signal(number, signal.SIG_IGN)  # unheard it would end the tests
    try:
        with stop.listening():
            os.kill(os.getpid(), number)
            time.sleep(0.02)
            os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        pytest.fail("the second signal ended it")
    finally:
        signal.signal(number, before)
    assert stop.requested


@pytest.mark.parametrize(
    ("number", "under_torchrun", "interrupted", "words"),
    [
        (signal.SIGINT, False, True, "Ctrl-C"),
        (signal.SIGINT, True, False, "Ctrl-C"),  # torchrun's exit code is its own
        (signal.SIGTERM, False, False, "SIGTERM"),
        (signal.SIGUSR1, False, False, "SIGUSR1"),
        (signal.SIGHUP, False, False, "a closed terminal (SIGHUP)"),
    ],
)
def test_who_asked_is_remembered(number: int, under_torchrun: bool, interrupted: bool, words: str) -> None:
    stop = StopSignal(says=False, under_torchrun=under_torchrun, saves=True)
    assert (stop.interrupted, stop.asked_by) == (False, "a signal")  # of a rank that has heard none, another one has
    with stop.listening():
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)
    assert (stop.interrupted, stop.asked_by) == (interrupted, words)


def test_what_a_launcher_s_parent_heard_is_who_asked() -> None:
    heard = ""
    stop = StopSignal(says=False, under_torchrun=True, saves=True, word=lambda: heard)
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked_by == "SIGTERM"
        heard = "SIGINT"
        assert stop.asked_by == "Ctrl-C"


def test_what_nohup_started_outlives_its_terminal() -> None:
    stop = StopSignal(says=False, under_torchrun=False, saves=True)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop.listening():
            os.kill(os.getpid(), signal.SIGHUP)
        assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_save_that_torchrun_would_kill_is_foreseen_once(capfd: pytest.CaptureFixture[str]) -> None:
    for seconds in (2.0, 27.3, 29.0):
        StopSignal(says=True, under_torchrun=False, saves=True).saving_took(seconds)
        StopSignal(says=False, under_torchrun=True, saves=True).saving_took(seconds)
    assert capfd.readouterr().err == ""
    stop = StopSignal(says=True, under_torchrun=True, saves=True)
    stop.saving_took(2.0)
    assert capfd.readouterr().err == ""
    stop.saving_took(27.3)
    said = capfd.readouterr().err
    assert "a checkpoint takes 27 s" in said
    assert "torchrun --shutdown-timeout=120" in said
    stop.saving_took(29.0)
    assert capfd.readouterr().err == ""
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
    assert "saving took 29 s last time" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("beside", "seconds", "foreseen"), [(False, 18.0, False), (True, 9.0, False), (True, 18.0, True)]
)
def test_a_stop_that_waits_for_two_saves_is_foreseen(
    capfd: pytest.CaptureFixture[str], beside: bool, seconds: float, foreseen: bool
) -> None:
    stop = StopSignal(says=True, under_torchrun=True, saves=True, beside=beside)
    stop.saving_took(seconds)
    said = capfd.readouterr().err
    assert ("a stop may wait for one under way and then for its own, 36 s, and torchrun kills" in said) is foreseen
    assert bool(said) is foreseen


def test_where_a_launcher_typed_torchrun_s_line_its_own_key_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    for seconds, limit_s in ((70.0, 120), (100.0, 120)):
        stop = StopSignal(says=True, under_torchrun=True, saves=True, limit_s=limit_s)
        stop.saving_took(seconds)
    said = capfd.readouterr().err
    assert said.count("a checkpoint takes") == 1 and "has not ended 120 s after" in said
    assert "Start it with launcher.shutdown_timeout_s=180" in said and "--shutdown-timeout" not in said
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
    said = capfd.readouterr().err
    assert "(torchrun waits 120 s for it; saving took 100 s last time)" in said
