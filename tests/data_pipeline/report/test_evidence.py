from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.report.evidence import MAX_FILES, quarantined_samples, removed_samples, spread
from data_pipeline.storage import DamagedFile, write_removed


@given(st.lists(st.integers()), st.integers(1, 50))
def test_a_spread_is_in_order_and_begins_at_the_beginning(items: list[int], most: int) -> None:
    numbered = list(enumerate(items))
    some = spread(numbered, most)
    assert len(some) == min(most, len(items))
    assert some == sorted(set(some))
    assert some[:1] == numbered[:1]
    gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(some)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_samples_of_every_reason_the_most_frequent_first(output_dir: Path) -> None:
    samples = removed_samples(output_dir, "clean", per_reason=4)
    assert list(samples) == ["too_short", "gopher_too_few_words"]
    assert [len(found) for found in samples.values()] == [4, 4]
    numbers = [int(each.id.removeprefix("too_short-")) for each in samples["too_short"]]
    assert min(numbers) == 0 and max(numbers) > 10  # from both files
    assert samples["too_short"][0].threshold == 20.0


def test_a_damaged_file_is_named_and_not_shown(output_dir: Path, flip: Callable[[Path, str], None]) -> None:
    flip(output_dir / "removed/clean/00001.parquet", "snippet")
    with pytest.raises(DamagedFile, match=r"removed/clean/00001\.parquet: it is not what was written.*run again"):
        removed_samples(output_dir, "clean")


def test_a_stage_that_removed_nothing_has_no_samples(output_dir: Path) -> None:
    assert removed_samples(output_dir, "exact") == {}


def test_of_many_files_some_are_opened(tmp_path: Path) -> None:
    fields = {"source": "s", "file": "f", "row": 0, "stage": "clean", "reason": "r", "snippet": ""}
    for number in range(MAX_FILES + 40):
        write_removed(tmp_path / f"removed/clean/{number:05d}.parquet", [{"id": str(number), **fields}])
    (found,) = removed_samples(tmp_path, "clean", per_reason=10_000).values()
    assert len(found) == MAX_FILES
    assert max(int(each.id) for each in found) > MAX_FILES


def test_unreadable_records_come_as_they_were_written(output_dir: Path) -> None:
    records: list[dict[str, Any]] = quarantined_samples(output_dir, 5)
    assert [(record["file"], record["row"], record["offset_bytes"]) for record in records] == [
        ("a.jsonl", 3, 3000),
        ("a.jsonl", 8, 8000),
    ]
    assert len(quarantined_samples(output_dir, 1)) == 1
