"""The abstract seats of the loop. What sits on one is chosen in conf/; the loop knows only these methods.

Data have none: plan, evaluation and resume lean on what a `ShardLoader` is, down to the numbers of its samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pretrain.mesh import Mesh
from pretrain.pieces import NONE
from pretrain.types import Batch, Record, Resumption, SavedAt, StepResult, TrainState, WayBack

# What the seats' classes are handed when they are built, by parameter name: no key of theirs in a config may have one.
RUNTIME = frozenset({"mesh", "plan", "device", "model", "loader", "tokenizer", "vocab_size", "run_dir", "plain_pieces"})


def nothing() -> None:
    """Do nothing."""


class Action(Enum):
    """What the host does after it learnt a verdict."""

    CONTINUE = "continue"
    REWIND = "rewind"
    STOP = "stop"


class Model(nn.Module, ABC):
    """A language model. Builds on the meta device; `init_weights` fills it."""

    context_len: int  # longest sequence it takes, in tokens
    seen_tokens: int | None = None  # how many tokens up to the current one a position sees; None: all of its sequence
    begins_trained: bool = False  # whether init_weights reads weights that have learnt, from wherever it knows
    flops_formula: str = "its own formula"  # of flops_per_token, in a few words: whoever compares speeds must know it
    pieces: frozenset[str] = NONE  # which it has twice (pretrain/pieces.py); `plain_pieces` says which run plainly

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


@runtime_checkable
class Attends(Protocol):
    """A module of a model that attends: what of it can be looked at without being part of its call."""

    def queries_and_keys(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Return (batch, heads, seq_len, head size) queries and keys, as they are multiplied, of its first input."""


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
    pieces: frozenset[str] = NONE  # as a model's

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
    """Judges each step before its update, and says when the run goes back to before one.

    A run that goes back is asked of in this order: `decide` says REWIND, `way_back` which checkpoint; then `leave`, the
    loop restores, `arrive`; or `stay` where there is no such checkpoint.
    """

    pieces: frozenset[str] = NONE  # as a model's

    @abstractmethod
    def begin(self) -> bool:
        """Take up what earlier starts left in the journal, once, after a checkpoint was restored.

        Returns:
            Whether the run was going back when it ended: then `way_back` is asked first of all.
        """

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
        """Take a verdict on the host, two steps late, the same on every rank; journal a skip; say how to go on.

        Every judged step is decided, in order, and before `facts` is asked for.

        Args:
            record: of the step, with the evidence that `judge` gave.
        """

    @abstractmethod
    def way_back(self) -> WayBack:
        """Return where a run that goes back looks for a checkpoint."""

    @abstractmethod
    def leave(self, saved: SavedAt) -> str:
        """Write down that the run goes back to this checkpoint; return it in words. Its lines are flushed.

        After a kill from here on `begin` says so.
        """

    @abstractmethod
    def arrive(self) -> None:
        """Write down that it has gone back."""

    @abstractmethod
    def stay(self) -> Action:
        """Say how to go on where there is no checkpoint to go back to."""

    @abstractmethod
    def batch_from(self, data_step: int) -> int:
        """Return the first global batch from this one on that is not passed over."""

    @abstractmethod
    def lr_factor(self, step: int) -> float:
        """Return what the schedule's learning rate is multiplied by at this step (0-based): a closed form."""

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
    def way_back(self, wanted: WayBack, state: TrainState) -> SavedAt | None:
        """Return the checkpoint that a run goes back to, its bytes verified; None where there is none.

        Called on every rank; all get the same. A damaged one is set aside, and said; one that `state`, the live one,
        can't be filled from whole is passed over.
        """

    @abstractmethod
    def drop_later(self, step: int) -> None:
        """Remove the checkpoints after `step`: the run goes back there, and makes them again or has no use for them."""

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

    def start(self, step: int) -> None:  # noqa: B027  # most loggers have nothing to do before the first line
        """Take that the run begins, or goes on after `step` steps: its folder is its own, and it has not ended."""

    @abstractmethod
    def log(self, line: dict[str, Any]) -> None:
        """Take one line: JSON values, with `step`."""

    def show(self, name: str, line: dict[str, Any]) -> None:  # noqa: B027  # most loggers show numbers alone
        """Take what was looked at in a step: a line of the file `name`, JSON values, with `step`."""

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


class Watch(ABC):
    """Looks into some of the steps. Called on every rank; no bit of the run hangs on it, and nothing waits for it."""

    looks: bool = True  # whether it ever looks: what it does is a part of a step's time then

    @abstractmethod
    def looking(
        self, step: int, batches: list[Batch], result: StepResult, numerics: Numerics
    ) -> AbstractContextManager[None]:
        """Return the context of one update: before it gradients are as the backward left them, after it clipped.

        Args:
            step: steps finished with it. batches: this rank's micro batches. result: what the step measured.
            numerics: of the forward passes that it makes.
        """

    @abstractmethod
    def ready(self, step: int, drain: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what was seen long enough ago that it is on the host: the file's name and its line, rank 0 alone.

        Args:
            step: steps finished. drain: all of it (a sync, for saves and the end).
        """

    @abstractmethod
    def forget(self) -> None:
        """Drop what was seen and not yet given: the run goes back to an earlier step."""


class Debug(ABC):
    """Looks into a step."""

    @abstractmethod
    def watching(self, place: Callable[[], str]) -> AbstractContextManager[Any]:
        """Return the context of the forward and backward pass of a micro batch.

        Args:
            place: returns which one it is, of which step, in words.
        """


class Launcher(ABC):
    """Where a training runs."""

    in_process: bool  # whether a single run (no sweep) needs no child

    @abstractmethod
    def prefix(self) -> list[str]:
        """Return what stands before `launch/train.py` on a child's command line; it must hand its environment on."""
