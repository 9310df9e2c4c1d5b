"""A signal is remembered and answered at once."""

from __future__ import annotations

import os
import signal
import time

import pytest

from pretrain.signals import SIGNALS, StopSignal


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_remembered_and_answered_once(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    it = StopSignal()
    before = signal.getsignal(number)
    with it.listening():
        assert not it.requested
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # torchrun's echo of the terminal's
        assert it.requested
    assert capfd.readouterr().err.count("stopping: the state is saved") == 1
    assert signal.getsignal(number) == before


def test_one_rank_of_several_speaks(capfd: pytest.CaptureFixture[str]) -> None:
    it = StopSignal(says=False)
    with it.listening():
        os.kill(os.getpid(), signal.SIGTERM)
    assert it.requested
    assert capfd.readouterr().err == ""


def test_a_later_second_ctrl_c_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pretrain.signals.ECHO_S", 0.01)
    it = StopSignal()
    with it.listening():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_cluster_that_asks_again_does_not_end_the_save(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pretrain.signals.ECHO_S", 0.01)
    it, before = StopSignal(), signal.signal(number, signal.SIG_IGN)  # unheard it would end the tests
    try:
        with it.listening():
            os.kill(os.getpid(), number)
            time.sleep(0.02)
            os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        pytest.fail("the second signal ended it")
    finally:
        signal.signal(number, before)
    assert it.requested
