from __future__ import annotations

import contextlib
import io
import os
import pty
import subprocess
import sys
import time

import pytest

from foundation import progress as module
from foundation.progress import Meter, Silent, human, progress, set_aside

BAR = """
import time
from foundation.progress import progress
with progress("encode", 2e6, "B") as meter:
    for _ in range(10):
        meter.add(2e5)
        time.sleep(0.02)
"""


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (0, "docs", "0 docs"),
        (12, "docs", "12 docs"),
        (1, "docs", "1 doc"),
        (1, "B", "1 B"),
        (12.34, "docs", "12.3 docs"),
        (999, "", "999"),
        (3141, "docs", "3.1k docs"),
        (19_800_000, "B", "19.8 MB"),
        (7e15, "B", "7000.0 TB"),
        (None, "B", "?"),
    ],
)
def test_amounts_in_words(amount: float | None, unit: str, text: str) -> None:
    assert human(amount, unit) == text


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still: what a line says of time is exact, however slow the machine."""
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)


@pytest.mark.usefixtures("stopped_clock")
def test_the_line_has_amount_share_rate_and_time_left() -> None:
    meter = Meter("encode", 4e6, "B")
    meter.started = time.monotonic() - 2.0
    meter.add(1e6)
    assert meter.line() == "encode: 1.0 MB of 4.0 MB (25%), 500.0 kB/s, 6 s left"


@pytest.mark.usefixtures("stopped_clock")
def test_what_is_counted_is_said() -> None:
    meter = Meter("clean", 4e6, "B", "input")
    meter.started = time.monotonic() - 2.0
    meter.add(1e6)
    assert meter.line() == "clean: 1.0 MB of 4.0 MB of input (25%), 500.0 kB/s, 6 s left"
    with contextlib.redirect_stderr(io.StringIO()) as said, progress("encode", 2e6, "B", "text") as closing:
        closing.add(2e6)
    assert said.getvalue().startswith("encode: 2.0 MB of text in 0.")


@pytest.mark.usefixtures("stopped_clock")
def test_compiling_is_named_and_in_no_rate() -> None:
    with contextlib.redirect_stderr(io.StringIO()) as said, progress("near", None, "docs") as meter:
        meter.started = time.monotonic() - 12.0
        set_aside(10.0)
        meter.add(100)
        assert meter.line() == "near: 100 docs, 50 docs/s"
    assert said.getvalue() == (
        "near: 100 docs in 12.0 s, 10.0 s of it compiling kernels, once for all runs (50 docs/s)\n"
    )


@pytest.mark.usefixtures("stopped_clock")
def test_without_a_total_there_is_no_share() -> None:
    meter = Meter("read", None, "docs")
    meter.started = time.monotonic() - 4.0
    meter.add(10)
    assert meter.line() == "read: 10 docs, 2.5 docs/s"


def test_without_a_terminal_lines_come_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.05)
    with progress("hash", 100, "docs") as meter:
        for _ in range(10):
            meter.add(10)
            time.sleep(0.02)
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 6
    assert lines[-1].startswith("hash: 100 docs in 0.")
    assert all(line.startswith("hash: ") and "\x1b" not in line for line in lines)


def test_on_a_terminal_there_is_a_bar_and_a_closing_line() -> None:
    ours, theirs = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", BAR], stderr=theirs, env={"TERM": "xterm", "COLUMNS": "100"})
    child.wait()
    os.close(theirs)
    shown = os.read(ours, 1 << 20).decode()
    os.close(ours)
    assert "━" in shown and "2.0 MB/2.0 MB" in shown  # it began at 0
    assert "encode: 2.0 MB in 0." in shown.splitlines()[-1]


def test_a_silent_meter_counts_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("foundation.progress.LINE_EVERY_S", 0.0)
    meter = Silent()
    meter.expect(10)
    meter.add(4)
    meter.add(4)
    assert meter.done == 8 and capsys.readouterr() == ("", "")
