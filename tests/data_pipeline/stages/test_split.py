"""The held-out split as a stage: what the closing table says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.pipeline import Result


@pytest.mark.parametrize(
    ("num_docs", "share", "note"),
    [
        (40, 0.001, "1 held out for validation, which is few: mix.held_out_frac=0.1 holds out about 4"),
        (200, 0.001, "1 held out for validation, which is few: mix.held_out_frac=0.05 holds out about 10"),
        (12, 0.001, "1 held out for validation"),  # a tenth of them is no more
    ],
)
def test_a_corpus_of_a_few_documents_is_split_and_told_what_to_type(
    config: Callable[..., dict[str, Any]],
    go: Callable[[dict[str, Any]], Result],
    tmp_path: Path,
    num_docs: int,
    share: float,
    note: str,
) -> None:
    for number in range(num_docs):
        (tmp_path / f"{number}.txt").write_text(f"the words of file {number} and of {number * number} in one text")
    text = {"_target_": "data_pipeline.sources.text.Text", "paths": [f"{tmp_path}/*.txt"]}
    changes = {"tokenizer__vocab_size": 262, "decontaminate__test_sets": [], "mix__held_out_frac": share}
    none = {"_target_": "data_pipeline.dedup.dedup.NoDedup"}
    result = go(config(tmp_path, tmp_path / "out", corpus=text, dedup=none, **changes))
    (said,) = (stage.facts["note"] for stage in result.stages if stage.name == "split")
    assert said == note
    assert result.manifest.splits["val"]["test"].documents == 1
