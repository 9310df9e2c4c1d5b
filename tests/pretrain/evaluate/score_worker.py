"""Data and models of the tests here; as `torchrun score_worker.py <data> <out>` one rank that scores them."""

from __future__ import annotations

import inspect
import sys
from dataclasses import asdict
from pathlib import Path

import orjson
import torch
from torch import Tensor, nn

from pretrain.data.dataset import open_data
from pretrain.data.samples import Samples
from pretrain.evaluate.loss import score
from pretrain.evaluate.windows import HeldOut, TrainingSubset
from pretrain.mesh import start_mesh
from pretrain.seats import Model
from pretrain.tokenizer import Tokenizer

SEQ_LEN, BATCH_ROWS = 16, 3


def texts(kind: type) -> list[str]:
    """Docstrings of a built-in type's methods: real text, of unequal lengths, the same for all processes of a run."""
    members = (getattr(kind, name) for name in sorted(dir(kind)))
    return [doc for member in members if (doc := inspect.getdoc(member))]


TRAIN = {"words": texts(str), "numbers": texts(int)}
VAL = {"words": [*texts(bytes)[:9], "Grüße, 世界 🌍 – naïve café"], "numbers": texts(complex)[:5]}


class Bigram(Model):
    """The next token by the last one alone, so a loop over tokens gives its loss. Draws randomness where told."""

    context_len = 64

    def __init__(self, vocab_size: int, scale: float = 1.0, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        generator = torch.Generator().manual_seed(3)
        self.table_VV = nn.Parameter(scale * torch.randn(vocab_size, vocab_size, generator=generator))

    def init_weights(self, seed: int) -> None:
        del seed

    def forward(self, inputs_BT: Tensor, cache: object = None) -> Tensor:
        logits: Tensor = self.dropout(self.table_VV[inputs_BT])
        return logits

    def loss_sum(self, inputs_BT: Tensor, targets_BT: Tensor, keys_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        nats_BT = nn.functional.cross_entropy(self(inputs_BT).transpose(1, 2), targets_BT, reduction="none")
        return nats_BT.sum(), nats_BT.detach().sum(dim=1)

    def new_cache(self) -> None:
        return None

    def flops_per_token(self, seq_len: int) -> float:
        return 0.0 * seq_len


def main(data_dir: Path, out: Path) -> None:
    dataset = open_data(data_dir)
    tokenizer = Tokenizer.load(data_dir, dataset.manifest)
    eot, sizes, model = tokenizer.eot_id, tokenizer.token_bytes, Bigram(tokenizer.vocab_size)
    with start_mesh("cpu") as mesh:
        windows = {name: HeldOut(stream, SEQ_LEN, eot) for name, stream in dataset.val.items()}
        scores = {name: score(model, rows, mesh, BATCH_ROWS, eot, sizes) for name, rows in windows.items()}
        sample = TrainingSubset(Samples(dataset, SEQ_LEN, seed=1), num_rows=10)
        scores["sample"] = score(model, sample, mesh, BATCH_ROWS, eot, sizes)
        found = {name: asdict(of_source) for name, of_source in scores.items()}
        (out / f"rank{mesh.rank}.json").write_bytes(orjson.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
