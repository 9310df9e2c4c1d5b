"""Exact and near duplicates as stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_pipeline.dedup.dedup import Features
from data_pipeline.dedup.exact import Exact
from data_pipeline.pipeline import Result

Config = Callable[..., dict[str, Any]]
Go = Callable[..., Result]
Redone = Callable[[Result], list[str]]


class Head(Exact):
    """A user's own: documents are the same where their first words are."""

    def __init__(self, words: int) -> None:
        self.words = words

    def features(self, texts: pa.LargeStringArray) -> Features:
        heads = [" ".join(text.split()[: self.words]) for text in texts.to_pylist()]
        return super().features(pa.array(heads, pa.large_string()))


def test_another_value_of_a_users_own_setting_is_noticed(
    made: Any, config: Config, go: Go, redone: Redone, output_hashes: Callable[[Path], Any], tmp_path: Path
) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"

    def head(words: int, folder: Path) -> list[str]:
        tree = config(made.folder, folder, dedup={"_target_": f"{__name__}.Head", "words": words})
        return redone(go(tree, f"{__name__}."))

    head(2, out)
    assert "exact" in head(400, out)
    head(400, fresh)
    assert output_hashes(out) == output_hashes(fresh)


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
