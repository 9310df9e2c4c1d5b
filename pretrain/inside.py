"""What was in one step: its sequences, whose documents they are, what each lost, how large each gradient was."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foundation.files import pretty_json, sync_dir
from pretrain.data.origin import Origins
from pretrain.json_lines import json_line, spelled
from pretrain.run import Run, trained_names
from pretrain.run_files import BLACKBOX, box_name
from pretrain.types import IGNORE, Record

MAX_BOXES = 50  # of a run: the oldest goes when one more comes
STEP, SEQUENCES, TOKENS = "step.json", "sequences.jsonl", "tokens.npy"


@dataclass(frozen=True, slots=True)
class Inside:
    """One step, on rank 0.

    Attributes:
        facts: of the whole step, JSON values.
        sequences: each as JSON values, in the order of the batch.
        tokens_BT: (global_batch_size, seq_len + 1) int32.
    """

    facts: dict[str, Any]
    sequences: list[dict[str, Any]]
    tokens_BT: np.ndarray


def look_inside(run: Run, record: Record) -> Inside | None:
    """Return what was in a step; None on ranks other than 0. Called on every rank; waits for the device.

    Args:
        record: of the step, with its result.
    """
    assert record.result is not None
    mesh, plan = run.mesh, run.plan
    losses_RAB = record.result.losses_AB.new_zeros((mesh.dp_size, *record.result.losses_AB.shape))
    losses_RAB[mesh.dp_rank] = record.result.losses_AB
    mesh.sum(losses_RAB)
    if not mesh.is_main:
        return None
    sums_B = losses_RAB.transpose(0, 1).flatten().tolist()  # as the loader deals micro batches out
    first = record.data_step * plan.global_batch_size
    samples = np.arange(first, first + plan.global_batch_size, dtype=np.int64)
    numbers = run.loader.numbers_of(samples)
    tokens_BT = run.loader.samples.read(numbers)
    counts_B = (run.loader.targets_of(tokens_BT) != IGNORE).sum(axis=1).tolist()
    origins = Origins(run.loader.dataset, plan.seq_len)
    sequences = []
    places = run.loader.samples.places(numbers)
    epochs = run.loader.epochs_of(samples, places)
    for number, (place, epoch, documents) in enumerate(zip(places, epochs, origins.of(places), strict=True)):
        micro_batch, rank = divmod(number // plan.micro_batch_size, mesh.dp_size)
        loss = sums_B[number] / counts_B[number] if counts_B[number] else 0.0
        where = {
            "sample": first + number,
            "source": place.source,
            "epoch": epoch,
            "first_token": place.first_token,
        }
        dealt = {"rank": rank, "micro_batch": micro_batch, "loss": loss, "num_targets": counts_B[number]}
        read = {"documents": documents, "text": run.tokenizer.decode(tokens_BT[number].tolist())}
        sequences.append(where | dealt | read)
    return Inside(_facts(run, record, sums_B, counts_B), sequences, tokens_BT)


def _facts(run: Run, record: Record, sums_B: list[float], counts_B: list[int]) -> dict[str, Any]:
    """Return the facts of the whole step: loss per rank and gradient norm per parameter among them."""
    assert record.result is not None
    size, ranks = run.plan.micro_batch_size, run.mesh.dp_size
    of_rank = [number // size % ranks for number in range(len(sums_B))]
    losses = {
        str(rank): sum(value for value, mine in zip(sums_B, of_rank, strict=True) if mine == rank)
        / max(1, sum(count for count, mine in zip(counts_B, of_rank, strict=True) if mine == rank))
        for rank in range(ranks)
    }
    norms = dict(zip(trained_names(run.model), record.result.grad_norms_P.tolist(), strict=True))
    facts = {"step": record.step, "data_step": record.data_step, "lr": record.lr, "loss": record.loss}
    facts |= {"grad_norm": record.grad_norm, "skipped": record.skipped, "num_targets": record.num_targets}
    return facts | {"loss_per_rank": losses, "grad_norm_per_parameter": norms}


def keep_blackbox(run: Run, record: Record) -> None:
    """Write what was in a step to blackbox/ of the run's folder. A disk that is full is said, and holds nothing up."""
    inside = look_inside(run, record)
    if inside is None:
        return
    folder = run.run_dir / BLACKBOX
    name = box_name(record.step, record.data_step)
    try:
        shutil.rmtree(folder / name, ignore_errors=True)  # of the same step, which was done again
        write_inside(inside, folder / name)
        for old in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)[:-MAX_BOXES]:
            shutil.rmtree(old)
    except OSError as error:
        print(f"step {record.step}: {folder / name} can't be written ({error})", file=sys.stderr, flush=True)


def write_inside(inside: Inside, folder: Path) -> None:
    """Write one step's folder, whole or not at all: step.json, sequences.jsonl, the highest loss first, tokens.npy.

    Raises:
        OSError: the disk is full, or the folder there already.
    """
    made = folder.with_name(f".{folder.name}")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    (made / STEP).write_bytes(pretty_json(spelled(inside.facts)))
    ordered = sorted(inside.sequences, key=lambda sequence: -_height(sequence["loss"]))
    (made / SEQUENCES).write_bytes(b"".join(map(json_line, ordered)))
    np.save(made / TOKENS, inside.tokens_BT, allow_pickle=False)
    made.rename(folder)
    sync_dir(folder.parent)


def _height(loss: float) -> float:
    return loss if np.isfinite(loss) else np.inf
