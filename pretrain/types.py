"""What flows through the loop: a micro batch, the result of a step, the state that a checkpoint holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

ASKED = 1 << 32  # above any number of ranks
IGNORE = -100  # target of a position that takes no part in the loss; the default of torch's cross_entropy


class Status(Enum):
    """How a run ended; what status.json says."""

    FINISHED = "finished"
    PREEMPTED = "preempted"
    STOPPED = "stopped"
    FAILED = "failed"

    def told(self, step: object, reason: str) -> str:
        """Return in words how it ended; the reason of a stop that was asked for says who asked.

        Args:
            step: steps finished: a failure may be in the next one. reason: of it.
        """
        if self is Status.PREEMPTED:
            return f"step {step}: {reason}"
        return f"{self.value} {'after' if self is Status.FAILED else 'at'} step {step}: {reason}"


@dataclass(frozen=True, slots=True)
class Batch:
    """One micro batch of one rank.

    Attributes:
        inputs_BT: (micro_batch_size, seq_len) int64 token ids.
        targets_BT: (micro_batch_size, seq_len) int64, the ids one to the right, IGNORE where masked.
        samples: (micro_batch_size,) int64 global sample numbers, on the host.
        keys_B: (micro_batch_size,) int64, a hash of (seed, data_step, sample): what a model's randomness hangs on.
        sources_B: (micro_batch_size,) int64, number of the source of each sample; None where all come from one.
        hash: sum of the samples' hashes modulo 2^64 (`hash_of_samples` in data/loader.py), on the host.
    """

    inputs_BT: Tensor
    targets_BT: Tensor
    samples: np.ndarray
    keys_B: Tensor
    sources_B: Tensor | None = None
    hash: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """What a step measured for people who look; on the device and, but for the gradient, reduced over ranks.

    Attributes:
        batch_hash: () int64, sum of the hashes of the global batch's samples modulo 2^64.
        grad_max: () float32, largest absolute value in any gradient before clipping.
        grad_max_at: () int64, the number of its parameter in the model's order.
        source_nats: (sources,) float32, sums of nats.
        source_targets: (sources,) int64, target tokens.
    """

    batch_hash: Tensor
    grad_max: Tensor
    grad_max_at: Tensor
    source_nats: Tensor
    source_targets: Tensor


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step measured, on the device, already reduced over ranks; reading it early would stall the queue.

    Attributes:
        loss: () float32, mean nats per target token over the global batch.
        grad_norm: () float32, L2 norm over all parameters before clipping.
        judgement: (K,) float32, the guard's verdict and, behind it, its evidence (`Guard.judge`).
        num_targets: () int64, target tokens of the global batch: in float32 a count is exact to 2^24 = 16.8 M alone.
        stop: () int64, ranks that were asked to stop; ASKED more where the control file asks for something.
        losses_AB: (grad_accum_steps, micro_batch_size) float32, sums of nats of this rank's sequences; not reduced.
        grad_norms_P: (parameters,) float32, L2 norm of each parameter's gradient before clipping.
        measured: for the metrics line.
    """

    loss: Tensor
    grad_norm: Tensor
    judgement: Tensor
    num_targets: Tensor
    stop: Tensor
    losses_AB: Tensor
    grad_norms_P: Tensor
    measured: Measured


@dataclass(frozen=True, slots=True)
class Record:
    """One step as the host sees it.

    Attributes:
        step: steps finished with it.
        data_step: the batch it took.
        lr: its learning rate.
        finished_s: the clock when the device was done with it.
        loss: nats per token.
        grad_norm: before clipping.
        skipped: the guard kept it from the weights.
        num_targets: tokens the loss was taken over.
        stop: a rank was asked to stop. asked: the control file asks for something.
        evidence: what the guard's verdict rests on.
        result: as the device has it, for those who look into the step: reading it waits for the device.
        times: seconds of each part of it, as `phases` names them.
        batch_hash, grad_max, grad_max_at, source_nats, source_targets: as `Measured`; the hash from 0 to 2^64.
    """

    step: int
    data_step: int
    lr: float
    finished_s: float
    loss: float
    grad_norm: float
    skipped: bool
    num_targets: int
    stop: bool
    evidence: tuple[float, ...] = ()
    result: StepResult | None = None
    times: dict[str, float] = field(default_factory=dict)
    batch_hash: int = 0
    grad_max: float = 0.0
    grad_max_at: int = 0
    source_nats: tuple[float, ...] = ()
    source_targets: tuple[int, ...] = ()
    asked: bool = False


@dataclass(slots=True)
class TrainState:
    """All that a checkpoint holds, but for the random states of each rank, which the checkpointer adds.

    Attributes:
        tensors: name -> tensor, flat (`model.<parameter>`, `optim.<parameter>.exp_avg`, `guard.losses`, ...): the live
            tensors; loading copies into them in place.
        facts: JSON values: step, data_step, num_updates, tokens_seen, the guard's state, the last metrics line, what
            the gate compares.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WayBack:
    """Which checkpoint a run is to go back to: the newest healthy one `before_steps` before `onset_step`, or more.

    Where there is none so old, it is the oldest before the onset.
    """

    onset_step: int
    before_steps: int


class SavedAt(NamedTuple):
    """A checkpoint to go back to. Attributes: step: steps done; data_step: the batch behind them; path: its folder."""

    step: int
    data_step: int
    path: str


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a run that goes on has other than the checkpoint.

    Attributes:
        step: that it goes on from.
        changes: every key that differs, each with its verdict (pretrain/checkpoint/changes.py).
        afresh: group of the config -> what of its state begins anew, in words.
    """

    step: int
    changes: tuple[Any, ...] = ()
    afresh: dict[str, list[str]] = field(default_factory=dict)
