"""The process that reads pages may die of one; the page goes, the others are read, and nothing outlives its parent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from data_pipeline.clean.html import Html
from data_pipeline.clean.html_engines import Trafilatura
from data_pipeline.clean.html_process import MAX_PAGES, Answer, Limits, PageProcess, ProcessFailed, _batches
from data_pipeline.documents import from_texts
from data_pipeline.executors.local import Local
from foundation.errors import SettingError

trafilatura = pytest.importorskip("trafilatura")
pytestmark = pytest.mark.slow

OPTIONS = {"favor_precision": True, "include_comments": False}
SENTENCES = "Some words of a sentence here, and then a few more of them. " * 9
HEAVY = "<html><body><article>" + "<p>Some words of a sentence, number.</p>" * 40_000 + "</article></body></html>"
LARGE = f"<html><body><article><p>{'word ' * 10_000_000}</p></article></body></html>"


def page_of(number: int) -> str:
    return f"<!doctype html><html><body><article><p>Page {number}. {SENTENCES}</p></article></body></html>"


def pid_of(process: PageProcess) -> int:
    assert process._child is not None
    return process._child._process.pid


def ends(pid: int) -> bool:
    """Whether a process ends; one that is not ours to wait for."""
    for _ in range(3_000):
        stat = Path(f"/proc/{pid}/stat")
        try:
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_pages_are_what_trafilatura_makes_of_them() -> None:
    pages = [page_of(number) for number in range(3)]
    process = PageProcess(OPTIONS, Limits(60.0, 1 << 30))
    expected = [Answer(trafilatura.extract(page, **OPTIONS)) for page in pages]
    assert process.read([page.encode() for page in pages]) == expected
    assert process.read([b"", b"<html></html>", b"x"]) == [Answer(""), Answer(""), Answer("x")]


@pytest.mark.parametrize(("page", "limits", "reason"), [
    (HEAVY, Limits(0.75, 1 << 30), "html_cpu_time"),
    (LARGE, Limits(60.0, 256 << 20), "html_memory"),
    ("<html><body>" + "<b>" * 3_000 + SENTENCES, Limits(60.0, 1 << 30), "html_depth"),
])  # fmt: skip
@pytest.mark.bad_input(31)
def test_a_page_beyond_a_limit_goes_alone(page: str, limits: Limits, reason: str) -> None:
    process = PageProcess(OPTIONS, limits)
    pages = [page_of(0), page, page_of(1)]
    apart = [PageProcess(OPTIONS, limits).read([each.encode()])[0] for each in (pages[0], pages[2])]
    answers = process.read([each.encode() for each in pages])
    assert answers == [apart[0], Answer(None, reason), apart[1]]
    assert apart[0].text and "Page 0." in apart[0].text


def test_a_process_that_was_killed_is_replaced() -> None:
    process = PageProcess(OPTIONS, Limits(60.0, 1 << 30))
    [first] = process.read([page_of(0).encode()])
    before = pid_of(process)
    os.kill(before, signal.SIGKILL)
    assert process.read([page_of(0).encode(), page_of(1).encode()])[0] == first
    assert pid_of(process) != before


def test_a_process_that_can_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ProcessFailed, match="before its first page, with exit code 1"):
        PageProcess(OPTIONS, Limits(60.0, 1 << 30)).read([b"x"])


def test_limits_too_small_are_refused() -> None:
    with pytest.raises(SettingError, match=r"^max_cpu_s: 0"):
        Trafilatura(max_cpu_s=0)
    with pytest.raises(SettingError, match=r"^max_memory_bytes: 1024"):
        Trafilatura(max_memory_bytes=1024)


def test_batches_hold_all_pages_in_order() -> None:
    pages = [b"x" * size for size in (1, 2 << 20, 1, 1 << 19, 1 << 19, 0)] + [b""] * MAX_PAGES
    batches = _batches(pages)
    assert [page for batch in batches for page in batch] == pages
    assert [len(batch) for batch in batches] == [1, 1, 2, MAX_PAGES, 2]
    assert _batches([]) == []


def test_workers_give_what_one_process_gives_and_leave_none_behind() -> None:
    batches = [from_texts([page_of(number), "plain", page_of(number + 1)]) for number in range(4)]
    rule = Html(Trafilatura())
    expected = [rule.apply(batch).batch for batch in batches]
    with Local(2) as executor:
        found = [applied.batch for applied in executor.map(rule.apply, batches)]
        workers = [worker.process.pid for worker in executor._pool]
        children = [child for worker in workers if worker for child in children_of(worker)]
    assert found == expected
    assert children and all(ends(child) for child in children)
    assert pa.Table.from_batches(found).num_rows == 12


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


PARENT = """
import sys
from data_pipeline.clean.html_process import Limits, PageProcess
process = PageProcess({}, Limits(60.0, 1 << 30))
process.read([b"<html>x</html>"])
print(process._child._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_it_ends_with_its_parent(how: signal.Signals | None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[3],
    ) as parent:  # fmt: skip
        assert parent.stdout is not None and parent.stdin is not None
        child = int(parent.stdout.readline())
        if how is None:
            parent.stdin.close()
        else:
            parent.send_signal(how)
        parent.wait()
        assert ends(child)
