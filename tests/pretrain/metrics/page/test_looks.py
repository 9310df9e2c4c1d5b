from __future__ import annotations

import json
from pathlib import Path

import pytest

from pretrain.metrics.page.looks import looks_with


@pytest.mark.parametrize(("most", "steps"), [(2, [1, 9]), (3, [1, 5, 9]), (5, [1, 3, 5, 7, 9]), (99, [1, 3, 5, 7, 9])])
def test_some_are_read_evenly_and_the_ends_always(tmp_path: Path, most: int, steps: list[int]) -> None:
    lines = [{"step": step, "norms" if step % 2 == 0 else "points": {"x": 1}} for step in range(1, 10)]
    lines.append({"step": 10, "layers": {"points": 1}})
    text = "".join(json.dumps(line) + "\n" for line in lines[:-1]) + '{"step": 11, "points": {"x"'
    (tmp_path / "watch.jsonl").write_text(text)
    found, count = looks_with(tmp_path / "watch.jsonl", "points", most)
    assert [look["step"] for look in found] == steps and count == 5


def test_a_line_that_has_the_word_elsewhere_or_is_torn_gives_none(tmp_path: Path) -> None:
    (tmp_path / "watch.jsonl").write_text(
        '{"step": 1, "layers": {"points": 1}}\n{"points": {"x\n{"points": {"a": 1}}\n'
    )
    assert looks_with(tmp_path / "watch.jsonl", "points", 9)[0] == []
    assert looks_with(tmp_path / "none.jsonl", "points", 9) == ([], 0)
