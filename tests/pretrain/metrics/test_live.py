"""The page is there while the run goes on, and nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import SettingError
from pretrain.metrics import live
from pretrain.metrics.lines import MetricsFile
from pretrain.metrics.live import LivePage


def wait_for(holds: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < give_up_s
        time.sleep(0.05)


@pytest.mark.slow
def test_a_child_writes_the_page_and_the_step_does_not_wait(
    tmp_path: Path, make_line: Callable[..., dict[str, Any]], parse_page: Callable[[Path], Any]
) -> None:
    file, page = MetricsFile(tmp_path), LivePage(tmp_path, every_s=0.05)
    for step in range(1, 4):
        file.append(make_line(step))
    time.sleep(0.1)
    started = time.perf_counter()
    page.log(make_line(3))
    assert time.perf_counter() - started < 0.5  # a child begins; the page takes seconds
    wait_for((tmp_path / "report.html").exists)
    parsed = parse_page(tmp_path / "report.html")
    assert parsed.facts["Steps"] == "3" and "Not ended: still training, or killed." in parsed.texts
    page.close("finished")


@pytest.mark.slow
def test_a_child_at_work_ends_with_the_run_and_leaves_nothing(
    tmp_path: Path, make_line: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "WRITE", "import time; open('begun', 'w').close(); time.sleep(100)")
    monkeypatch.chdir(tmp_path)
    page = LivePage(tmp_path, every_s=0.01)
    time.sleep(0.02)
    page.log(make_line(1))
    wait_for((tmp_path / "begun").exists)
    child = page._child
    time.sleep(0.02)
    page.log(make_line(2))
    assert child is not None and page._child is child and child.poll() is None  # one at a time
    page.close("finished")
    assert child.poll() is not None and [path.name for path in tmp_path.iterdir()] == ["begun"]


@pytest.mark.slow
def test_a_child_that_fails_is_told_of_once(
    tmp_path: Path,
    make_line: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(live, "WRITE", "raise SystemExit(3)")
    page = LivePage(tmp_path, every_s=0.01)
    time.sleep(0.02)
    page.log(make_line(1))
    child = page._child
    assert child is not None and child.wait() == 3
    page.close("finished")
    page.close("finished")
    assert capsys.readouterr().err.count("could not be written (exit code 3); python launch/report.py run=") == 1


def test_the_interval_is_above_0(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^every_s: 0 is not allowed"):
        LivePage(tmp_path, every_s=0)
