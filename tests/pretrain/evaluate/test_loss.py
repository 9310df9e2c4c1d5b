"""Loss, perplexity and bits per byte against a loop over tokens in float64, on one rank and on several."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from types import ModuleType

import numpy as np
import orjson
import pytest
import torch

from pretrain.data.dataset import Dataset
from pretrain.data.samples import Samples
from pretrain.evaluate.loss import Score, padded_rows, rows_that_fit, score, token_nats
from pretrain.evaluate.windows import HeldOut, TrainingSubset, Windows
from pretrain.mesh import Mesh
from pretrain.model.transformer import Transformer
from pretrain.tokenizer import Tokenizer
from pretrain.types import IGNORE

CPU = torch.device("cpu")
ALONE = Mesh(0, 1, 0, CPU)


def by_hand(table: np.ndarray, before: int, tokens: list[int], eot: int) -> tuple[float, float]:
    """Return the nats of all tokens and of those that are text: a loop, one softmax a token, in float64."""
    total = text = 0.0
    for token in tokens:
        row = table[before]
        nats = float(np.log(np.exp(row - row.max()).sum()) + row.max() - row[token])
        total += nats
        text += nats if token != eot else 0.0
        before = token
    return total, text


@pytest.fixture(scope="module")
def expected(dataset: Dataset, tokenizer: Tokenizer, worker: ModuleType) -> dict[str, tuple[float, ...]]:
    """nats, targets, text_nats and text_bytes of each held-out source and of the training subset."""
    table, eot = worker.Bigram(tokenizer.vocab_size).table_VV.detach().double().numpy(), tokenizer.eot_id
    sums = {}
    for name, documents in worker.VAL.items():
        tokens = [token for document in documents for token in [*tokenizer.encode(document), eot]]
        nats, text_nats = by_hand(table, eot, tokens, eot)
        sums[name] = (nats, len(tokens), text_nats, sum(len(document.encode()) for document in documents))
    rows = Samples(dataset, worker.SEQ_LEN, seed=1).read(np.arange(-10, 0))
    parts = [by_hand(table, row[0], row[1:], eot) for row in rows.tolist()]
    text = [token for row in rows[:, 1:].tolist() for token in row if token != eot]
    sizes = [len(tokenizer.bytes_of([token])) for token in text]
    sums["sample"] = (sum(p[0] for p in parts), rows[:, 1:].size, sum(p[1] for p in parts), sum(sizes))
    return sums


@pytest.mark.parametrize("batch_rows", [1, 3, 64])
def test_sums_equal_a_loop_over_tokens(
    dataset: Dataset,
    tokenizer: Tokenizer,
    worker: ModuleType,
    expected: dict[str, tuple[float, ...]],
    batch_rows: int,
) -> None:
    model, eot = worker.Bigram(tokenizer.vocab_size), tokenizer.eot_id
    for name, stream in dataset.val.items():
        found = score(model, HeldOut(stream, 16, eot), ALONE, batch_rows, eot, tokenizer.token_bytes)
        assert astuple(found) == pytest.approx(expected[name], rel=1e-6)
        assert found.text_bytes == dataset.manifest.splits["val"][name].utf8_bytes
    sample = TrainingSubset(Samples(dataset, 16, seed=1), 10)
    found = score(model, sample, ALONE, batch_rows, eot, tokenizer.token_bytes)
    assert astuple(found) == pytest.approx(expected["sample"], rel=1e-6)


def test_a_space_before_each_document_is_no_byte_of_its_text(
    dataset: Dataset, tokenizer: Tokenizer, worker: ModuleType
) -> None:
    model, eot = worker.Bigram(tokenizer.vocab_size), tokenizer.eot_id
    for name, stream in dataset.val.items():
        found = [
            score(model, HeldOut(stream, 16, eot), ALONE, 3, eot, tokenizer.token_bytes, prefix_bytes=prefix).text_bytes
            for prefix in (0, 1)
        ]
        assert found[0] - found[1] == sum(bool(document) for document in worker.VAL[name]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_rows_and_hold_the_same_sums(
    data_dir: Path, tmp_path: Path, expected: dict[str, tuple[float, ...]], ranks: int, run_ranks: Callable[..., str]
) -> None:
    run_ranks(Path(__file__).with_name("score_worker.py"), data_dir, tmp_path, ranks=ranks)
    seen = [orjson.loads((tmp_path / f"rank{rank}.json").read_bytes()) for rank in range(ranks)]
    assert all(scores == seen[0] for scores in seen)
    for name, sums in expected.items():
        assert astuple(Score(**seen[0][name])) == pytest.approx(sums, rel=1e-6)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("num_rows", [0, 1, 4, 5, 12, 13])
def test_all_ranks_make_as_many_forward_passes(num_rows: int, ranks: int) -> None:
    class Rows(Windows):
        def __init__(self) -> None:
            self.num_rows = num_rows

        def read(self, first: int, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
            pytest.fail("rows are counted here, none is read")

    meshes = [Mesh(rank, ranks, rank, CPU) for rank in range(ranks)]
    firsts = [range(rank * 2, padded_rows(Rows(), mesh, 2), ranks * 2) for rank, mesh in enumerate(meshes)]
    assert len({len(of_rank) for of_rank in firsts}) == 1
    covered = sorted(row for of_rank in firsts for first in of_rank for row in (first, first + 1))
    assert covered[:num_rows] == list(range(num_rows))
    assert len(covered) < num_rows + ranks * 2


def test_loss_perplexity_and_bits_are_those_computed_by_hand() -> None:
    two_bits = Score(nats=6 * math.log(4), targets=6, text_nats=5 * math.log(4), text_bytes=20)
    assert two_bits.loss == pytest.approx(math.log(4))
    assert two_bits.perplexity == pytest.approx(4)
    assert two_bits.bits_per_byte == pytest.approx(10 / 20)  # five tokens of two bits each over twenty bytes
    assert two_bits + Score(1, 2, 3, 4) == Score(two_bits.nats + 1, 8, two_bits.text_nats + 3, 24)
    assert two_bits.fields("val", "/web") == {
        "val_loss/web": two_bits.loss,
        "val_perplexity/web": two_bits.perplexity,
        "val_bits_per_byte/web": two_bits.bits_per_byte,
    }


def test_an_overflowing_perplexity_is_infinite_and_nothing_is_nan() -> None:
    assert Score(nats=1000.0, targets=1).perplexity == math.inf
    assert Score(nats=math.inf, targets=1).perplexity == math.inf
    assert math.isnan(Score().loss) and math.isnan(Score().bits_per_byte)


def test_a_uniform_model_costs_the_log_of_the_vocabulary(tokenizer: Tokenizer, worker: ModuleType) -> None:
    model = worker.Bigram(tokenizer.vocab_size, scale=0.0)
    targets = torch.tensor([[1, 2, IGNORE], [IGNORE, 3, 4]])
    nats = token_nats(model, torch.zeros(2, 3, dtype=torch.int64), targets)
    assert nats.shape == (2, 3) and not nats.requires_grad
    kept = torch.full((2, 3), math.log(tokenizer.vocab_size)).masked_fill(targets == IGNORE, 0.0)
    torch.testing.assert_close(nats, kept)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_transformer_s_nats_are_those_that_training_optimises(bf16: bool) -> None:
    model = Transformer(num_layers=2, num_heads=2, d_model=32, context_len=24, vocab_size=128)
    inputs, targets = torch.randint(0, 128, (2, 3, 24), generator=torch.Generator().manual_seed(0))
    targets[1, 5:] = IGNORE
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        torch.testing.assert_close(token_nats(model, inputs, targets).sum(), model.loss_sum(inputs, targets)[0])


def test_rows_of_a_forward_pass_are_bounded_by_their_logits() -> None:
    assert rows_that_fit(8, seq_len=128, vocab_size=1024, device=CPU) == 8
    assert rows_that_fit(64, seq_len=256, vocab_size=16_384, device=CPU) == 4
    assert rows_that_fit(64, seq_len=8192, vocab_size=200_000, device=CPU) == 1
    assert rows_that_fit(64, seq_len=1024, vocab_size=50_304, device=torch.device("cuda")) == 10


def test_a_long_evaluation_says_how_far_it_is(
    dataset: Dataset, tokenizer: Tokenizer, worker: ModuleType, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model, windows = worker.Bigram(tokenizer.vocab_size), TrainingSubset(Samples(dataset, worker.SEQ_LEN, seed=1), 10)
    score(model, windows, ALONE, 4, tokenizer.eot_id, tokenizer.token_bytes)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("foundation.progress.LINE_EVERY_S", 0.0)
    score(model, windows, ALONE, 4, tokenizer.eot_id, tokenizer.token_bytes)
    said = [line.partition(",")[2].partition(" (")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == [" rows: 4 of 10", " rows: 8 of 10", " rows: 10 of 10"]
