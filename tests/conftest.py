"""Real shards of real text for tests that train, written once a session by the pipeline's own rooms."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pyarrow as pa
import pytest

from data_pipeline.shards.manifest import Manifest, SourceManifest
from data_pipeline.shards.writer import Sharder
from data_pipeline.tokenize.tokenizer import ByteLevelBPE, Encoder
from foundation.hashes import hash_bytes

REPOSITORY = Path(__file__).parents[1]
VOCAB_SIZE = 512


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: modules of the standard library, of unequal lengths, a vocabulary of 512."""
    folder = tmp_path_factory.mktemp("corpus") / "data" / "pydocs"
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:40]
    texts = [path.read_text(encoding="utf-8")[: 400 + 300 * (number % 9)] for number, path in enumerate(modules)]
    tokenizer_json = ByteLevelBPE(vocab_size=VOCAB_SIZE).train(iter(texts))
    encoder = Encoder(tokenizer_json)
    sharder = Sharder()
    dtype = sharder.dtype_for(encoder.vocab_size)
    splits = {}
    for split, part in (("train", texts[4:]), ("val", texts[:4])):
        ids, lengths = encoder.encode(pa.array(part, pa.large_string()))
        with sharder.writer(folder / "shards" / split, "pydocs", dtype) as writer:
            writer.add(ids, lengths)
            shards = writer.finish()
        size = sum(len(text.encode()) for text in part)
        splits[split] = {"pydocs": SourceManifest(1.0, len(ids), len(part), size, shards)}
    (folder / "tokenizer.json").write_bytes(tokenizer_json)
    Manifest(hash_bytes(tokenizer_json), encoder.vocab_size, encoder.eot_id, dtype.name, splits).save(folder)
    return folder


@pytest.fixture
def one_thread() -> dict[str, str]:
    """The environment for child processes: one thread each, so that several share two cores, and no torchrun's rest."""
    ours = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return ours | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}


TINY = [
    "model.num_layers=2",
    "model.num_heads=2",
    "model.d_model=32",
    "model.context_len=64",
    "trainer.seq_len=32",
    "trainer.global_batch_size=8",
    "trainer.micro_batch_size=2",
    "precision=float32",
    "eval.prompts=[]",
    "logger=console",
]


@pytest.fixture
def tiny(data_dir: Path) -> list[str]:
    """Overrides that make a run of a few seconds."""
    return [*TINY, f"data.path={data_dir}"]
