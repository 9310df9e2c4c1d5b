"""The whole command on the same tokens: launch/train.py against nanoGPT's train.py, each started anew in turns.

Both read a made-up corpus from disk, log every step and neither evaluate nor save. A run's rate is a step's tokens over
its median step time, as each command reports it itself, without the first steps.
"""

from __future__ import annotations

import pickle
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from data_pipeline.shards.manifest import Manifest, SourceManifest
from data_pipeline.shards.token_bytes import byte_chars
from data_pipeline.shards.writer import SourceWriter
from foundation.hashes import hash_bytes

REPOSITORY = Path(__file__).resolve().parent.parent
SETTLING_STEPS = 3  # compilation, caches and the first evaluation of nanoGPT fall into these
DOCUMENT_TOKENS = 1000
NUM_TOKENS = {"train": 2_000_000, "val": 200_000}
END_OF_TEXT = "<|endoftext|>"


def measure_loop(work: Any, peer_dir: Path, repeats: int, steps: int) -> tuple[list[float], list[float]]:
    """Return tokens per second of each repeat, ours and theirs.

    Args:
        work: train.py's Work. peer_dir: a clone of nanoGPT. steps: length of each run.
    """
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder, work.vocab_size)
        for repeat in range(repeats):
            ours.append(work.tokens_per_step / run_ours(work, folder, steps, repeat))
            theirs.append(work.tokens_per_step / run_nanogpt(work, folder, peer_dir, steps))
    return ours, theirs


def run_ours(work: Any, folder: Path, steps: int, repeat: int) -> float:
    """Return the median step time in seconds."""
    settings = {
        "model": work.model,
        "data.path": folder / "shards_of_ours",
        "runs_dir": folder / "runs",
        "run_name": f"repeat{repeat}",
        "trainer.seq_len": work.seq_len,
        "trainer.global_batch_size": work.batch_size,
        "trainer.micro_batch_size": work.micro_batch_size,
        "trainer.max_steps": steps,
        "trainer.compile": str(work.compile).lower(),
        "trainer.device_type": work.device.type,
        "precision.dtype": work.precision.dtype,
        "schedule.warmup_steps": 0,
        "eval": "none",
        "checkpoint": "none",
        "logger": "none",
    }
    arguments = [f"{key}={value}" for key, value in settings.items()]
    _run([sys.executable, str(REPOSITORY / "launch" / "train.py"), *arguments], folder)
    lines = (folder / "runs" / f"repeat{repeat}" / "metrics.jsonl").read_bytes().splitlines()
    return statistics.median(orjson.loads(line)["step_time_s"] for line in lines[SETTLING_STEPS:])


def run_nanogpt(work: Any, folder: Path, peer_dir: Path, steps: int) -> float:
    """Return the median step time in seconds."""
    settings = {
        "dataset": folder / "bin_of_nanogpt",  # its os.path.join("data", ...) leaves an absolute path as it is
        "out_dir": folder / "out",
        "device": work.device.type,
        "dtype": str(work.precision.resolve(work.device)).removeprefix("torch."),
        "compile": work.compile,
        "block_size": work.seq_len,
        "batch_size": work.micro_batch_size,
        "gradient_accumulation_steps": work.batch_size // work.micro_batch_size,
        "n_layer": work.sizes["num_layers"],
        "n_head": work.sizes["num_heads"],
        "n_embd": work.sizes["d_model"],
        "bias": True,
        "max_iters": steps,
        "log_interval": 1,
        "eval_interval": 10**9,
        "eval_iters": 1,
        "warmup_iters": 0,
        "lr_decay_iters": steps,
    }
    output = _run([sys.executable, "train.py", *(f"--{key}={value}" for key, value in settings.items())], peer_dir)
    times = [float(text) for text in re.findall(r"^iter \d+: loss .*, time ([\d.]+)ms", output, re.MULTILINE)]
    return statistics.median(times[SETTLING_STEPS:]) / 1000


def write_corpus(folder: Path, vocab_size: int) -> None:
    """Write the same random tokens, as unequal in frequency as words are, in both sides' formats."""
    ours, theirs = folder / "shards_of_ours", folder / "bin_of_nanogpt"
    theirs.mkdir()
    frequencies = 1.0 / (np.arange(vocab_size) + 2.7)
    generator, splits = np.random.default_rng(0), {}
    for split, count in NUM_TOKENS.items():
        ids = generator.choice(vocab_size, count, p=frequencies / frequencies.sum()).astype(np.uint16)
        ids[DOCUMENT_TOKENS - 1 :: DOCUMENT_TOKENS] = vocab_size - 1
        ids.tofile(theirs / f"{split}.bin")
        (ours / "shards" / split).mkdir(parents=True)
        lengths = np.full(count // DOCUMENT_TOKENS, DOCUMENT_TOKENS, np.int32)
        with SourceWriter(ours / "shards" / split, "random", ids.dtype, max_shard_bytes=1 << 30) as writer:
            writer.add(ids, lengths)
            shards = writer.finish()
        splits[split] = {"random": SourceManifest(1.0, count, len(lengths), count, shards)}
    (theirs / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": vocab_size}))
    tokenizer_json = made_up_tokenizer(vocab_size)
    (ours / "tokenizer.json").write_bytes(tokenizer_json)
    Manifest(hash_bytes(tokenizer_json), vocab_size, vocab_size - 1, "uint16", splits).save(ours)


def made_up_tokenizer(vocab_size: int) -> bytes:
    """Return a byte-level tokenizer.json of exactly this size: all bytes, then pairs of them, then end-of-text."""
    chars = sorted(byte_chars())
    pairs = [(first, second) for first in chars for second in chars][: vocab_size - len(chars) - 1]
    tokens = [*chars, *(first + second for first, second in pairs)]
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END_OF_TEXT])
    return tokenizer.to_str().encode()


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout
