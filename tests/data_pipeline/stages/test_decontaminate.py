"""Decontamination as a stage: what is counted again when a setting changes, and what the closing table says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.pipeline import Result

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]


def _note(result: Result) -> str:
    (stage,) = (stage for stage in result.stages if stage.name == "decontaminate")
    return str(stage.facts["note"])


@pytest.mark.parametrize(
    ("setting", "value", "counts_again"),
    [("min_coverage", 0.6, False), ("max_document_frequency", 99, False), ("n", 12, True), ("min_words", 4, True)],
)
def test_only_what_counting_depends_on_counts_again(
    made: Any, out: Path, config: Config, go: Go, setting: str, value: float, counts_again: bool
) -> None:
    work = out / "work" / "decontaminate"
    before = {path: path.stat().st_mtime_ns for path in work.glob("count-*.json")}
    judged = {path: path.stat().st_mtime_ns for path in work.glob("judge-*.json")}
    assert before and judged
    go(config(made.folder, out, **{f"decontaminate__{setting}": value}))
    assert all(path.stat().st_mtime_ns > time for path, time in judged.items())
    assert {path.stat().st_mtime_ns > time for path, time in before.items()} == {counts_again}


def test_the_note_tells_held_out_documents_from_test_items(made: Any, config: Config, go: Go, tmp_path: Path) -> None:
    found = go(config(made.folder, tmp_path / "found"))
    held_out = sum(source.documents for source in found.manifest.splits["val"].values())
    assert _note(found) == f"{held_out} held-out documents and 1 test item sought"
    none_found = go(config(made.folder, tmp_path / "none", decontaminate__test_sets=[]))
    assert _note(none_found) == f"{held_out} held-out documents sought, none found"
