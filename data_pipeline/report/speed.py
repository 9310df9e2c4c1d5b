"""The section "Speed and memory" of the page: what each stage took, of the run that did it."""

from __future__ import annotations

from collections.abc import Mapping

from foundation.page import Bar, Page
from foundation.progress import human

NONE = "–"  # not measured, or of nothing
HEADERS = ("stage", "seconds", "text/s", "documents/s", "cores busy", "peak memory", "this process", "a worker", "disk")


def show_speed(page: Page, timing: Mapping[str, Mapping[str, float]], titles: Mapping[str, str]) -> None:
    """Show time, rates, memory and disk of each stage.

    Args:
        timing: stage -> what `stages.taken` measured; of records of earlier versions a part of it.
        titles: stage -> its title, in their order; of one without a title nothing is shown: it is off.
    """
    shown = {name: timing[name] for name in titles if name in timing}
    if not shown:
        return
    page.section("Speed and memory")
    page.bars(
        [
            Bar(titles[name], took["seconds"], note=f"{took['seconds']:,.1f} s{_clause(took)}")
            for name, took in shown.items()
        ]
    )
    page.table(HEADERS, [[titles[name], *_cells(took)] for name, took in shown.items()])
    page.text(
        "Of the run that did the stage: a stage that was complete is not done again. Peak memory is the sum over this "
        "process and its workers, each at its own peak, with the pages of mapped files, which they may share: at most "
        "this much was needed (where the system can't count anew, as on macOS, a process's peak is that of its whole "
        "life). Disk is what stays of the stage, in work/ and in the outputs."
    )


def _cells(took: Mapping[str, float]) -> list[str]:
    seconds = max(took["seconds"], 1e-3)
    documents = took["documents"]
    cells = [
        f"{took['seconds']:,.1f}",
        _rate(took),
        f"{documents / seconds:,.0f}" if documents else NONE,
        f"{took['cpu_s'] / seconds:.1f}" if "cpu_s" in took else NONE,
        *(_size(took, key) for key in ("memory_bytes", "main_bytes", "worker_bytes", "disk_bytes")),
    ]
    return [cell.replace(" ", "\u00a0") for cell in cells]  # a number and its unit stay in one line


def _size(took: Mapping[str, float], key: str) -> str:
    return human(took[key], "B") if took.get(key) else NONE


def _rate(took: Mapping[str, float]) -> str:
    """Return the text that it went through a second; nothing for a stage that looks at none."""
    return f"{took['utf8_bytes'] / 1e6 / max(took['seconds'], 1e-3):,.1f} MB/s" if took["utf8_bytes"] else NONE


def _clause(took: Mapping[str, float]) -> str:
    return f", {_rate(took)}" if took["utf8_bytes"] else ""
