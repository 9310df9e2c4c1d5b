"""The section on a run's own tokenizer, from a finished run and from figures made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.report.tokenizer import show_tokenizer
from data_pipeline.shards.manifest import Manifest
from data_pipeline.stages.finished import finished_view
from data_pipeline.stages.sampled import MOST_PARTITIONS, SAMPLE_BYTES, some_texts
from data_pipeline.tokens.sampled import EXCERPT_CHARS, sampled
from foundation.page import Page


def test_a_finished_run_shows_what_its_tokenizer_makes_of_its_texts(
    finished: Path, parse_page: Callable[[Path], Any]
) -> None:
    manifest = Manifest.load(finished)
    page = parse_page(finished / "report.html")
    (table,) = [table for table in page.tables if table[0] == ["source", "train", "val"]]
    for source, *shown in table[1:]:
        for split, cell in zip(("train", "val"), shown, strict=True):
            of_it = manifest.splits[split][source]
            tokens = of_it.tokens - of_it.documents
            assert float(cell) == (round(of_it.utf8_bytes / tokens, 3) if tokens else 0)
    assert page.facts["Come back byte for byte"] == "all"
    assert page.facts["Vocabulary used"].endswith("%")


def test_a_sample_is_of_documents_that_are_in_from_few_partitions(finished: Path) -> None:
    view = finished_view(finished, "data_dir")
    pieces = list(some_texts(view))
    assert 1 <= len(pieces) <= MOST_PARTITIONS < len(view.partitions)
    everything = {text for piece in view.slices(view.alive) for text in piece.texts().to_pylist()}
    found = [text for piece in pieces for text in piece.to_pylist()]
    assert set(found) <= everything and len(found) > 10
    assert sum(len(text.encode()) for text in found) <= SAMPLE_BYTES
    assert [each.to_pylist() for each in some_texts(view)] == [each.to_pylist() for each in pieces]


def test_of_long_texts_the_beginning_is_looked_at(finished: Path, parse_page: Callable[[str], Any]) -> None:
    tokenizer_json = (finished / "tokenizer.json").read_bytes()
    texts = pa.array(["a b " * EXCERPT_CHARS, "", "\x00é"], pa.large_string())
    found = sampled([texts.slice(0, 1), texts.slice(1)], tokenizer_json, "<|endoftext|>")
    assert (found.texts, found.came_back) == (3, 3)
    assert found.utf8_bytes == EXCERPT_CHARS + 3 and found.words == EXCERPT_CHARS // 2 + 1
    page = Page("title")
    show_tokenizer(page, Manifest.load(finished), found)
    parsed = parse_page(page.html())
    (tokens,) = [table for table in parsed.tables if table[0][0] == "most frequent"]
    assert tokens[1][1] == f"{EXCERPT_CHARS // 4:,}"
    assert np.all(np.diff([int(row[3]) for row in tokens[1:]]) <= 0)
