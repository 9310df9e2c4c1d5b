"""Exact and near duplicates as stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.pipeline import Result

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
Redone = Callable[[Result], list[str]]


@pytest.mark.parametrize(
    ("dedup", "lines"),
    [("dedup.NoDedup", []), ("exact.Exact", ["exact:"]), ("minhash.MinHash", ["exact:", "near:", "near:"])],
)
def test_only_work_that_is_done_is_spoken_of(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], dedup: str, lines: list[str], go: Go
) -> None:
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text(f"the words of file {number} and of {number * number}")
    text = {"_target_": "data_pipeline.sources.text.Text", "paths": [f"{tmp_path}/*.txt"]}
    node = {"_target_": f"data_pipeline.dedup.{dedup}"}
    mix = {"_target_": "data_pipeline.mix.split.HeldOut", "held_out_frac": 0.4}
    changes = {"dedup": node, "mix": mix, "tokenizer__vocab_size": 262, "decontaminate__test_sets": []}
    go(config(tmp_path, tmp_path / "out", corpus=text, **changes))
    said = capsys.readouterr().err
    assert [word for word in said.split() if word in ("exact:", "near:")] == lines
    assert ("bands of" in said) == (dedup == "minhash.MinHash")
    assert "###" not in said  # the curve is on the page
    assert ("###" in (tmp_path / "out" / "report.html").read_text()) == (dedup == "minhash.MinHash")
    measured = list((tmp_path / "out" / "work" / "exact").glob("?????-?????.npz"))
    assert bool(measured) == (dedup != "dedup.NoDedup")
