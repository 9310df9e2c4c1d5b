"""The abstract seats of the loop. What sits on one is chosen in conf/; the loop knows only these methods.

Data have none: plan, evaluation and resume lean on what a `ShardLoader` is, down to the numbers of its samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.mesh import Mesh
from pretrain.types import Record, TrainState

# What the seats' classes are handed when they are built, by parameter name: no key of theirs in a config may have one.
RUNTIME = frozenset({"mesh", "plan", "device", "model", "loader", "tokenizer", "vocab_size", "run_dir"})


def nothing() -> None:
    """Do nothing."""


class Action(Enum):
    """What the host does after it learnt a verdict."""

    CONTINUE = "continue"
    STOP = "stop"


class Model(nn.Module, ABC):
    """A language model. Builds on the meta device; `init_weights` fills it."""

    context_len: int  # longest sequence it takes, in tokens
    seen_tokens: int | None = None  # how many tokens up to the current one a position sees; None: all of its sequence
    flops_formula: str = "its own formula"  # of flops_per_token, in a few words: whoever compares speeds must know it

    @abstractmethod
    def init_weights(self, seed: int) -> None:
        """Fill every parameter: the same bits for a seed on any device and world size."""

    @abstractmethod
    def loss_sum(self, inputs_BT: Tensor, targets_BT: Tensor, keys_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return () float32, the sum of nats over the targets that are not IGNORE, and (batch,), that of each sequence.

        The sums of the sequences are for people who look: they carry no gradient.

        Args:
            inputs_BT, targets_BT: (batch, seq_len) int64.
            keys_B: (batch,) int64, what all randomness of a sequence must be a function of, so that the split into
                ranks and micro batches changes nothing; None where nobody cares, as in an example or a benchmark.
        """

    @abstractmethod
    def forward(self, inputs_BT: Tensor, cache: Any = None) -> Tensor:
        """Return (batch, seq_len, padded vocabulary) float32 logits of the next token.

        Args:
            inputs_BT: (batch, seq_len) int64; with a cache that holds something, they follow it.
            cache: of `new_cache`; takes the inputs up.
        """

    @abstractmethod
    def new_cache(self) -> Any:
        """Return an empty cache of what the model has read, for generating token by token."""

    @abstractmethod
    def flops_per_token(self, seq_len: int) -> float:
        """Return FLOPs of forward and backward for one token; says by which formula."""


class Parallel(ABC):
    """Applied to the model from outside."""

    @abstractmethod
    def wrap(self, model: Model, mesh: Mesh) -> nn.Module:
        """Return a module whose call is the model's `loss_sum`, its gradients averaged over the ranks in backward."""

    @abstractmethod
    def accumulate(self, wrapped: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Return the context of one micro batch: gradients cross ranks in the last one only."""

    @abstractmethod
    def replicated(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return those of the state's tensors of which every rank holds all, so that they can be compared."""


class Numerics(ABC):
    """Which number formats the forward pass uses."""

    @abstractmethod
    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        """Return the context of a forward pass."""


class Schedule(ABC):
    """The learning rate over the run, as a factor of `optim.lr`."""

    @abstractmethod
    def factor(self, step: int) -> float:
        """Return the factor for this step (0-based): a closed form, so a resumed run has the same bits."""


class Optimizer(ABC):
    """Updates the parameters it was built with. Its state exists, zeroed, before step 0."""

    lr: float  # the peak, which the schedule's factor multiplies

    @abstractmethod
    def step(self, lr: float, bad: Tensor, grad_scale: Tensor) -> None:
        """Apply the gradients, divided by `grad_scale`; where `bad` is 1 leave every bit of weights and state alone.

        Args:
            lr: learning rate of this step.
            bad: () float32 on the parameters' device, 0 or 1.
            grad_scale: () float32, max(1, norm / max_grad_norm): clipping without a pass of its own.
        """

    @abstractmethod
    def zero_grad(self) -> None:
        """Drop the gradients."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return the live state tensors, `<parameter>.<moment>` -> tensor."""


class Guard(ABC):
    """Judges each step before its update."""

    @abstractmethod
    def judge(self, loss: Tensor, grad_norm: Tensor) -> Tensor:
        """Return (K,) float32: first 1 where this step must not touch the weights, else 0; behind it the evidence.

        No host sync; updates its own state.

        Args:
            loss: () float32, reduced over ranks.
            grad_norm: () float32, likewise.
        """

    @abstractmethod
    def decide(self, record: Record) -> Action:
        """Take a verdict on the host, two steps late, the same on every rank; journal a skip; continue or stop.

        Every judged step is decided, in order, and before `facts` is asked for.

        Args:
            record: of the step, with the evidence that `judge` gave.
        """

    @abstractmethod
    def diagnosis(self) -> str:
        """Return why it said stop, the first time, and what to do about it; empty while it hasn't."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return the live state tensors."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return the host's state as JSON values."""

    @abstractmethod
    def restore(self, facts: dict[str, Any]) -> None:
        """Take back what `facts` gave."""


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


class Checkpointer(ABC):
    """Writes and finds checkpoints of one run."""

    resumption: Resumption | None = None  # of the last load that found a checkpoint
    # whether a run that stops can go on: decides what it is told, and which lines it may leave to a save
    saves: bool = True
    beside: bool = False  # whether saves go on beside the steps: a stop may wait for one before it makes its own

    @abstractmethod
    def due(self, step: int) -> bool:
        """Return whether the state after `step` finished steps is to be saved."""

    @abstractmethod
    def save(self, step: int, state: TrainState) -> None:
        """Write a checkpoint: complete or absent. Called on every rank; when it returns, the state may change."""

    @abstractmethod
    def poll(self, num_updates: int) -> float | None:
        """Look after what is done beside the steps; called after every step on every rank, and cheap.

        Args:
            num_updates: accepted steps so far.
        Returns:
            How many seconds a save took that has come to its end; None where none has.
        Raises:
            GroundworkError: that of a save which failed meanwhile, at the same step on every rank.
        """

    @abstractmethod
    def wait(self) -> None:
        """Wait until the last save is on disk. Raises as `poll`."""

    @abstractmethod
    def reject(self, num_updates: int, reason: str) -> None:
        """Label bad what was saved after the last accepted step: the guard has ended the run before another one."""

    @abstractmethod
    def abandon(self) -> None:
        """Give up a save that is under way: the process is to end at once."""

    @abstractmethod
    def close(self) -> None:
        """Wait for what is under way and let go of all that was held. Raises as `wait`."""

    @abstractmethod
    def load(self, state: TrainState, path: str | None = None) -> bool:
        """Fill `state` from `path`, else from the newest healthy checkpoint; every byte verified before use.

        Returns:
            False when there is none. Called on every rank; all load the same one.
        """


class Evaluator(ABC):
    """Measures the model between steps."""

    @abstractmethod
    def due(self, step: int) -> bool:
        """Return whether to evaluate after `step` finished steps."""

    @abstractmethod
    def describe(self) -> str:
        """Return in words what is measured, how often, and what it costs."""

    @abstractmethod
    def evaluate(self, step: int, between: Callable[[], None] = nothing) -> dict[str, Any]:
        """Return the fields that join this step's metrics line, e.g. `val_loss`. Called on every rank.

        Loggers show numbers, and under `samples` a list of {"prompt": str, "text": str}; other JSON values are written.

        Args:
            step: steps finished.
            between: to be called between the parts of the work, equally often on every rank; what it raises goes
                through: a run that was asked to stop gives the evaluation up, and repeats it when it goes on.
        """


class Logger(ABC):
    """Receives every metrics line on rank 0. Never raises into the loop and never makes it wait."""

    @abstractmethod
    def log(self, line: dict[str, Any]) -> None:
        """Take one line: JSON values, with `step`."""

    @abstractmethod
    def close(self, status: str) -> None:
        """Flush; `status` is finished, preempted, stopped or failed."""


class Profiler(ABC):
    """Sees the boundaries of steps."""

    @abstractmethod
    def step(self, step: int) -> None:
        """Mark the end of a step."""

    @abstractmethod
    def close(self) -> None:
        """Write what was recorded."""


class Debug(ABC):
    """Looks into a step."""

    @abstractmethod
    def watching(self) -> AbstractContextManager[Any]:
        """Return the context of the forward and backward pass of a micro batch."""


class Launcher(ABC):
    """Where a training runs."""

    in_process: bool  # whether a single run (no sweep) needs no child

    @abstractmethod
    def prefix(self) -> list[str]:
        """Return what stands before `launch/train.py` on a child's command line; it must hand its environment on."""
