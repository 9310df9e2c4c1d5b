"""A tokenizer that changes what the probe doesn't hold: the sample shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_pipeline.compare_tokenizers.candidates import Candidate
from data_pipeline.compare_tokenizers.compare import Result
from data_pipeline.compare_tokenizers.curve import curves
from data_pipeline.compare_tokenizers.examples import example_texts, short_cuts
from data_pipeline.compare_tokenizers.figures import figures
from data_pipeline.compare_tokenizers.measure import measure
from data_pipeline.compare_tokenizers.page import write_page
from data_pipeline.compare_tokenizers.sample import sample_corpus
from data_pipeline.compare_tokenizers.summary import report
from data_pipeline.executors.local import Local
from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.tokenize.encoder import Encoder


class Slow(Candidate):
    """Encodes by tokenizers, which changes texts as the file says."""

    def encoder(self) -> Encoder:
        return Encoder(self.tokenizer_json, self.eot_token, engine="tokenizers")


def test_the_first_text_that_comes_back_otherwise_is_shown(
    tmp_path: Path, other: Path, texts: list[str], parse_page: Callable[[Path], Any], capsys: Any
) -> None:
    record = json.loads(other.read_bytes())
    record["normalizer"] = {"type": "Replace", "pattern": {"String": "Wintermarkt"}, "content": "Markt"}
    candidates = [Slow("changes", "file", json.dumps(record).encode(), "<|endoftext|>")]
    path = tmp_path / "docs.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    workers = Local(workers=1)
    sample = sample_corpus(Jsonl([str(path)], source="web"), 10**6, 0, workers)
    measured = measure(sample, candidates, workers, with_languages=False)
    points = curves(sample, candidates, 0, 0, workers)
    found = figures(sample, measured, candidates, points, [8])
    assert points == [[]] and measured.no_languages == "languages=false"
    assert found[0].came_back == len(texts) - 25 and found[0].lost is not None
    assert found[0].lost.document == "web: docs.jsonl, record 41"
    assert "große Wintermarkt" in found[0].lost.text and "große Markt" in found[0].lost.back
    page = tmp_path / "page.html"
    shown = example_texts(sample, candidates, 1, 100, 0)
    write_page(page, "text", sample, measured, found, shown, short_cuts(candidates))
    parsed = parse_page(page)
    assert "changes: the first that came back otherwise" in parsed.texts
    assert parsed.tables[1][1][-1] == f"{len(texts) - 25:,} of {len(texts):,}"
    report(Result(page, page, sample, found))
    assert (
        "changes: 25 texts don't come back byte for byte, first web: docs.jsonl, record 41" in capsys.readouterr().err
    )
