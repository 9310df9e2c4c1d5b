"""One side of the loader's benchmark in a process of its own; prints one object of JSON.

python benchmarks/loader_sides.py groundwork <data folder> <work as JSON>    an epoch's worth of micro batches
python benchmarks/loader_sides.py resume <data folder> <work as JSON>        the first step at 90 % of the work
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_pipeline.shards.manifest import Manifest, shard_prefix
from pretrain.data.loader import ShardLoader, Shards
from pretrain.mesh import Mesh
from pretrain.plan import Plan

Pair = tuple[Tensor, Tensor]  # inputs and targets, (micro_batch_size, seq_len) int64 each


@dataclass(frozen=True)
class Work:
    """What all sides do: this many micro batches of shuffled sequences.

    Attributes:
        num_micro_batches: a whole number of steps. grad_accum_steps: micro batches a step.
    """

    num_micro_batches: int
    micro_batch_size: int
    grad_accum_steps: int
    seq_len: int

    @property
    def num_steps(self) -> int:
        return self.num_micro_batches // self.grad_accum_steps


def groundwork(data_dir: Path, work: Work) -> Iterator[Pair]:
    """Ours, read in the caller's thread: every block of the shards is verified at its first read."""
    loader = our_loader(data_dir, work)
    for step in range(work.num_steps):
        for micro_batch in loader.micro_batches(step):
            yield micro_batch.inputs_BT, micro_batch.targets_BT


def our_loader(data_dir: Path, work: Work) -> ShardLoader:
    """Return our loader of the work, one rank's, without reading ahead."""
    batch = work.micro_batch_size * work.grad_accum_steps
    plan = Plan(work.seq_len, batch, work.micro_batch_size, 1, work.num_steps, 1, seed=1)
    return Shards(str(data_dir), prefetch_steps=0).loader(plan, Mesh(0, 1, 0, torch.device("cpu")))


def nanogpt(data_dir: Path, work: Work) -> Iterator[Pair]:
    """As nanoGPT's train.py reads (get_batch): the file mapped anew for each batch, offsets drawn at random.

    It reads one file: the first shard.
    Source: github.com/karpathy/nanoGPT, train.py.
    """
    path = bin_paths(data_dir)[0]
    generator = torch.Generator().manual_seed(1)
    for _ in range(work.num_micro_batches):
        data = np.memmap(path, np.uint16, mode="r")
        starts = torch.randint(len(data) - work.seq_len, (work.micro_batch_size,), generator=generator)
        windows = [slice(int(start), int(start) + work.seq_len) for start in starts]
        inputs = torch.stack([torch.from_numpy(data[each].astype(np.int64)) for each in windows])
        after = [slice(each.start + 1, each.stop + 1) for each in windows]
        yield inputs, torch.stack([torch.from_numpy(data[each].astype(np.int64)) for each in after])


def megatron(data_dir: Path, work: Work) -> Iterator[Pair]:
    """megatron-core's GPTDataset over the same files, batched by torch's DataLoader in the caller's thread.

    Without attention masks, and with its cache of loss masks and positions; both are made all the same.
    """
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
    from megatron.core.datasets.indexed_dataset import IndexedDataset
    from megatron.core.datasets.utils import Split
    from torch.utils.data import DataLoader

    prefix, manifest = str(bin_paths(data_dir)[0].with_suffix("")), Manifest.load(data_dir)
    num_samples = work.num_micro_batches * work.micro_batch_size
    with tempfile.TemporaryDirectory() as cache:
        config = GPTDatasetConfig(
            random_seed=1,
            sequence_length=work.seq_len,
            blend=([prefix], None),
            split="1,0,0",
            path_to_cache=cache,
            tokenizer=_MegatronTokenizer(manifest.vocab_size, manifest.eot_id),
            reset_position_ids=False,
            reset_attention_mask=False,
            eod_mask_loss=False,
            create_attention_mask=False,
        )
        low_level = IndexedDataset(prefix, multimodal=False, mmap=True)
        documents = np.arange(low_level.document_indices.shape[0] - 1, dtype=np.int32)
        dataset = GPTDataset(low_level, prefix, documents, num_samples, Split.train, config)
        loader = DataLoader(dataset, batch_size=work.micro_batch_size, shuffle=False, num_workers=0, drop_last=True)
        batches = iter(loader)
        for _ in range(work.num_micro_batches):
            batch = next(batches)
            yield batch["tokens"], batch["labels"]


class _MegatronTokenizer:
    """What GPTDataset asks of a tokenizer."""

    def __init__(self, vocab_size: int, eod: int) -> None:
        self.vocab_size, self.eod = vocab_size, eod
        self.unique_identifiers = {"class": "none"}

    @property
    def pad(self) -> int:
        raise AttributeError("no padding")


RESUME = "resume"
SIDES = {"groundwork": groundwork, "nanoGPT's way": nanogpt, "megatron-core GPTDataset": megatron}


def bin_paths(data_dir: Path) -> list[Path]:
    """Return the `.bin` files of the training split of a data folder's one source."""
    ((_, source),) = Manifest.load(data_dir).splits["train"].items()
    return [shard_prefix(data_dir, "train", shard.name).with_suffix(".bin") for shard in source.shards]


def measure(side: str, data_dir: Path, work: Work) -> dict[str, Any]:
    """Read all of the work once; return tokens per second of CPU time, which all threads of the process count in."""
    torch.set_num_threads(1)
    for path in bin_paths(data_dir):
        with path.open("rb") as file:  # in the page cache for all sides alike
            while file.read(1 << 20):
                pass
    batches = SIDES[side](data_dir, work)
    first = next(batches)  # with what is done once: opening, compiling, Megatron's index of samples
    shape = (work.micro_batch_size, work.seq_len)
    for tensor in first:
        assert tensor.shape == shape and tensor.dtype == torch.int64, (tensor.shape, tensor.dtype)
    started_cpu, started, count = time.process_time(), time.perf_counter(), 0
    for _ in batches:
        count += 1
    cpu_s, wall_s = time.process_time() - started_cpu, time.perf_counter() - started
    tokens = count * work.micro_batch_size * work.seq_len
    return {"tokens": tokens, "cpu_s": cpu_s, "wall_s": wall_s, "per_core": tokens / cpu_s, "version": version(side)}


def resume(data_dir: Path, work: Work) -> dict[str, Any]:
    """Go on at 90 % of the work: return the seconds to open the folder, and then to the step's micro batches."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    loader = our_loader(data_dir, work)
    loader.identity()  # what a resumed run compares first: opens the shards
    opened = time.perf_counter()
    loader.micro_batches(work.num_steps * 9 // 10)
    return {"open_s": opened - started, "step_s": time.perf_counter() - opened}


def version(side: str) -> str:
    """Return the version of a side's package."""
    return importlib.metadata.version("megatron-core") if side.startswith("megatron") else ""


if __name__ == "__main__":
    asked, folder, given = sys.argv[1], Path(sys.argv[2]), Work(**json.loads(sys.argv[3]))
    print(json.dumps(resume(folder, given) if asked == RESUME else measure(asked, folder, given)))
