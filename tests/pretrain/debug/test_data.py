"""Ids, tokenizer, the first batch and epochs: what is right passes, what is not is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_pipeline.shards.manifest import Manifest, SourceManifest
from data_pipeline.shards.reader import TokenStream, open_split
from data_pipeline.shards.writer import SourceWriter
from foundation.hashes import hash_bytes
from pretrain.debug.data import Epochs, FirstBatch, TokenIds, TokenizerFile, judged_again, stretches, told_tokens
from pretrain.debug.rung import Finding, Verdict
from pretrain.run import Run
from pretrain.types import IGNORE


def rewrite(data_dir: Path, folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> str:
    """Write the data folder anew with other ids and a manifest that is right about them."""
    manifest, splits = Manifest.load(data_dir), {}
    for split, sources in manifest.splits.items():
        ((name, source),) = sources.items()
        (stream,) = open_split(data_dir, manifest, split).values()
        ids, lengths = change(stream.tokens(0, stream.num_tokens).copy()), stream.shards[0].lengths
        with SourceWriter(folder / "shards" / split, name, np.dtype(manifest.dtype), 1 << 30) as writer:
            writer.add(ids.astype(manifest.dtype), lengths)
            splits[split] = {
                name: SourceManifest(1.0, len(ids), len(lengths), source.utf8_bytes, writer.finish()),
            }
    (folder / "tokenizer.json").write_bytes((data_dir / "tokenizer.json").read_bytes())
    replace(manifest, splits=splits).save(folder)
    return f"data.path={folder}"


@pytest.mark.parametrize("rung", [TokenIds(), TokenizerFile(), FirstBatch(), Epochs()])
@pytest.mark.parametrize("is_short", [False, True])
def test_small_data_are_in_order(
    small: Callable[..., Run], look: Callable[..., Finding], rung: Any, is_short: bool
) -> None:
    found = look(rung, small(), is_short)
    assert found.verdict is Verdict.OK, found


def test_ids_are_counted_from_end_to_end(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    run = small()
    streams = [*run.loader.dataset.train.values(), *run.loader.dataset.val.values()]
    expected = sum(stream.num_tokens for stream in streams)  # the batch, which is looked at as well, counts nothing
    assert f" in all {expected:,} tokens, of a vocabulary of 512" in look(TokenIds(), run).figure
    assert " in the first batch, of a vocabulary of 512" in look(TokenIds(), run, is_short=True).figure
    assert told_tokens(4000, 9000) == "4,000 of 9,000 tokens"


@pytest.mark.parametrize("is_short", [False, True])
def test_an_id_that_no_token_has_is_a_stop(
    small: Callable[..., Run], look: Callable[..., Finding], data_dir: Path, tmp_path: Path, is_short: bool
) -> None:
    line = rewrite(data_dir, tmp_path / "data", lambda ids: ids * 0 + 600)
    found = look(TokenIds(), small(line), is_short)
    assert found.verdict is Verdict.STOP
    assert "has id 600, the vocabulary ends at 511" in found.figure


def test_another_tokenizer_s_ids_are_a_stop(
    small: Callable[..., Run], look: Callable[..., Finding], data_dir: Path, tmp_path: Path
) -> None:
    line = rewrite(data_dir, tmp_path / "data", lambda ids: np.where(ids, 1 + (ids * 7 + 3) % 511, ids))
    found = look(TokenizerFile(), small(line))
    assert found.verdict is Verdict.STOP
    assert "another tokenizer made them" in found.details[0]


def test_a_tokenizer_file_that_was_replaced_is_a_stop(
    small: Callable[..., Run], look: Callable[..., Finding], data_dir: Path, tmp_path: Path
) -> None:
    run = small(rewrite(data_dir, tmp_path / "data", lambda ids: ids))
    path = tmp_path / "data" / "tokenizer.json"
    path.write_bytes(path.read_bytes() + b"\n")
    found = look(TokenizerFile(), run, is_short=True)
    assert found.verdict is Verdict.STOP
    assert f"has the hash {hash_bytes(path.read_bytes())[:12]}" in found.figure


def test_a_few_tokens_that_come_back_otherwise_are_no_stop() -> None:
    assert judged_again(95, 100) == judged_again(0, 0) == []
    assert [problem.verdict for problem in judged_again(80, 100)] == [Verdict.WARNING]
    assert [problem.verdict for problem in judged_again(10, 100)] == [Verdict.STOP]


def test_the_batch_is_shown_as_text_with_control_characters_drawn(
    small: Callable[..., Run], look: Callable[..., Finding]
) -> None:
    found = look(FirstBatch(), small())
    assert len(found.details) == 2
    assert all(detail.startswith("| ") and "\n" not in detail for detail in found.details)
    assert any("␊" in detail for detail in found.details)


def test_text_that_is_none_is_a_warning(
    small: Callable[..., Run], look: Callable[..., Finding], data_dir: Path, tmp_path: Path
) -> None:
    found = look(FirstBatch(), small(rewrite(data_dir, tmp_path / "data", lambda ids: ids * 0 + 65)))
    assert found.verdict is Verdict.WARNING
    assert any("1 distinct token" in detail for detail in found.details)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda batch: batch.targets_BT.copy_(batch.inputs_BT), "one to the right"),
        (lambda batch: batch.targets_BT.fill_(IGNORE), "nothing to learn"),
    ],
)
def test_targets_that_are_not_the_next_tokens_are_a_stop(
    small: Callable[..., Run], look: Callable[..., Finding], fault: Callable[[Any], torch.Tensor], told: str
) -> None:
    run = small()
    honest = run.loader.micro_batches

    def micro_batches(data_step: int) -> list[Any]:
        batches = honest(data_step)
        fault(batches[0])
        return batches

    run.loader.micro_batches = micro_batches  # type: ignore[method-assign]
    found = look(FirstBatch(), run)
    assert found.verdict is Verdict.STOP
    assert told in found.details[0]


def test_a_source_that_is_read_too_often_is_a_warning(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    found = look(Epochs(), small("trainer.max_steps=2000"))
    assert found.verdict is Verdict.WARNING
    assert "pydocs is read 9.9 times" in found.details[0]


def test_stretches_cover_a_short_stream_and_spread_over_a_long_one(small: Callable[..., Run]) -> None:
    (stream,) = small().loader.dataset.train.values()
    assert isinstance(stream, TokenStream)
    whole = stretches(stream, 1000, 1000)
    assert whole[0] == (0, 1000) and whole[-1][1] == stream.num_tokens
    assert all(one[1] == other[0] for one, other in pairwise(whole))
    few = stretches(stream, 4, 100)
    assert few[0] == (0, 100) and few[-1] == (stream.num_tokens - 100, stream.num_tokens) and len(few) == 4
