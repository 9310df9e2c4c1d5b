from __future__ import annotations

import contextlib
import io
import math
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from foundation.errors import SettingError
from pretrain.metrics.console import Console, clock
from pretrain.plan import Plan

MakeLine = Callable[..., dict[str, Any]]


def test_the_first_each_tenth_and_the_last_step_are_shown(
    plan: Plan, make_line: MakeLine, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(plan, every_steps=10)
    for step in range(1, 24):
        console.log(make_line(step))
    console.log(make_line(2000))
    shown = capsys.readouterr().out.splitlines()
    assert [line.split("/")[0].split()[1] for line in shown] == ["1", "10", "20", "2,000"]
    assert len({line.index(name) for line in shown for name in ("loss",)}) == 1
    assert shown[1] == (
        "step    10/2,000   loss  4.9940   lr 3.00e-04   grad norm   1.250   10.2k tokens/s   left 3:19"
    )


def test_skips_are_always_shown(plan: Plan, make_line: MakeLine, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(plan, every_steps=1000)
    console.log(make_line(1))
    console.log(make_line(2))
    console.log(make_line(3, skipped=True, loss=math.nan, grad_norm=math.inf))
    console.log(make_line(4, skipped=True, loss=3.0, grad_norm=math.inf))
    console.log(make_line(5, skipped=True, loss=3.0, grad_norm=900.0))
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 4
    assert shown[1].endswith("SKIPPED: loss nan, grad norm inf")
    assert shown[2].endswith("SKIPPED: grad norm inf")
    assert shown[3].endswith("SKIPPED: a spike")
    assert "loss     nan" in shown[1] and "grad norm     inf" in shown[1]


def test_an_evaluation_has_its_numbers_and_samples(
    plan: Plan, make_line: MakeLine, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = [{"prompt": "def f", "text": "(x):\n\treturn \x1b[31mx"}]
    Console(plan, every_steps=1000).log(make_line(3, val_loss=4.5, val_perplexity=math.inf, samples=samples))
    _, numbers, sample = capsys.readouterr().out.splitlines()
    assert numbers.strip() == "val_loss 4.5000   val_perplexity inf"
    assert sample.strip() == "def f│(x):␊ return ␛[31mx"


def test_a_foreign_evaluator_s_lists_are_passed_over(
    plan: Plan, make_line: MakeLine, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {"weight_norms": [1.0, 2.0], "note": "text", "nested": {"a": 1}, "probe": 0.5}
    Console(plan, every_steps=1000).log(make_line(3, **fields))
    _, numbers = capsys.readouterr().out.splitlines()
    assert numbers.strip() == "probe 0.5000"


def test_an_evaluation_has_a_row_a_source(plan: Plan, make_line: MakeLine, capsys: pytest.CaptureFixture[str]) -> None:
    fields = {"val_loss": 9.34, "val_perplexity": 11422.33, "val_loss/peps": 9.1, "val_perplexity/peps": 8955.2}
    Console(plan, every_steps=1000).log(make_line(3, **fields, **{"val_loss/rfcs": 9.5}))
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.strip() for row in rows] == [
        "val_loss 9.3400   val_perplexity 11,422",
        "peps: val_loss 9.1000   val_perplexity 8,955",
        "rfcs: val_loss 9.5000",
    ]


def test_mfu_is_shown_where_it_is_known(plan: Plan, make_line: MakeLine, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(plan)
    console.log(make_line(1))
    console.log(make_line(10, mfu=0.314))
    without, with_mfu = capsys.readouterr().out.splitlines()
    assert "mfu" not in without
    assert "mfu  31.4%" in with_mfu


def test_the_end_says_how_fast_it_was(plan: Plan, make_line: MakeLine, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(plan)
    console.log(make_line(1))
    console.close("finished")
    assert capsys.readouterr().out.splitlines()[-1] == "median step 100 ms, 10.2k tokens/s at the end"


def test_a_terminal_that_knows_only_ascii_is_no_reason_to_fail(
    plan: Plan, make_line: MakeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    Console(plan).log(make_line(1, samples=[{"prompt": "naïve", "text": "世界"}]))
    out.seek(0)
    assert "na\\xefve\\u2502\\u4e16\\u754c" in out.read()


def test_a_reader_that_goes_away_stops_the_lines_and_nothing_else(plan: Plan) -> None:
    script = (
        "from pretrain.metrics.console import Console; from pretrain.plan import Plan\n"
        f"console = Console({plan!r}, every_steps=1)\n"
        "line = dict(loss=1.0, lr=1.0, grad_norm=1.0, skipped=False, tokens_per_s=1.0, step_time_s=1.0)\n"
        "for step in range(1, 3000): console.log(line | {'step': step})\n"
        "console.close('finished'); import sys; print('alive', file=sys.stderr)\n"
    )
    child = subprocess.run(
        ["bash", "-c", '"$0" -c "$1" | head -n 1', sys.executable, script], capture_output=True, text=True, check=True
    )
    assert child.stdout.startswith("step     1/2,000")
    assert "alive" in child.stderr


def test_an_interval_that_cannot_be_names_the_key(plan: Plan) -> None:
    with pytest.raises(SettingError, match=r"^every_steps: 0 is not allowed; give 1 or more; logger=none"):
        Console(plan, every_steps=0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.4, "59s"), (187, "3:07"), (8140, "2:15:40"), (86400 * 4 + 3 * 3600, "4d 3h")]
)
def test_a_time_has_the_form_that_its_length_asks_for(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, work: Callable[[], None], stderr: io.TextIOBase | None = None
) -> str:
    """Return what a terminal is sent while something is done."""
    ours, theirs = pty.openpty()
    sent: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # the other side is closed
            while data := os.read(ours, 4096):
                sent.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    with monkeypatch.context() as patch, os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "120")
        patch.setattr(sys, "stdout", terminal)
        patch.setattr(sys, "stderr", stderr or terminal)
        work()
    reader.join()
    os.close(ours)
    return b"".join(sent).decode()


def test_a_terminal_has_a_bar_under_the_lines(plan: Plan, make_line: MakeLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(bar: bool, stderr: io.StringIO) -> str:
        def work() -> None:
            console = Console(plan, bar=bar)
            console.start(0)
            for step in range(1, 12):
                console.log(make_line(step))
            print("a warning", file=sys.stderr, flush=True)
            console.close("finished")

        return on_a_terminal(monkeypatch, work, stderr)

    said = io.StringIO()
    sent = run(True, said)
    assert said.getvalue() == "a warning\n" and "a warning" not in sent  # as `2> errors.log` has it
    assert "11/2,000  1 %  loss 4.9890  left 3:19" in sent
    assert sent.index("\x1b[?25h") < sent.index("step     1/2,000")  # there is a cursor, however the run ends
    lines = [line for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent).splitlines() if "━" not in line]
    plain = run(False, io.StringIO())
    assert "━" not in plain and "\x1b[?25" not in plain
    assert [line for line in lines if line] == plain.splitlines()


def test_steps_that_were_taken_back_are_in_no_mean(
    plan: Plan, make_line: MakeLine, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(plan, every_steps=10)
    for step, loss in [*((step, 2.0) for step in range(1, 14)), *((step, 900.0) for step in range(14, 18))]:
        console.log(make_line(step, loss=loss))
    for step in range(13, 21):
        console.log(make_line(step, loss=2.0))
    assert "step    20/2,000   loss  2.0000" in capsys.readouterr().out.splitlines()[-1]
