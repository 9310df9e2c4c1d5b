"""Batch arithmetic and the length of a run: what is set, what follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from foundation.errors import ConfigError, SettingError, require
from pretrain.mesh import DeviceType
from pretrain.pieces import asked_for

Preflight = Literal["short", "full", "none"]  # how closely a run is looked at before its first step
MAX_NAMED = 3  # numbers of ranks that a refusal suggests


class Budgets(NamedTuple):
    """What the sources of the training set bring to the length of a run where some have budgets of their own.

    Attributes:
        samples: sequences of all budgets. weighted_epoch: sequences of one pass over the sources that have weights.
    """

    samples: int
    weighted_epoch: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The run in numbers.

    Attributes:
        seq_len: tokens per sequence.
        global_batch_size: sequences per step, over all ranks.
        micro_batch_size: sequences at a time on one rank.
        dp_size: ranks that share the batch.
        max_steps: length of the run; samples_per_epoch: sequences that the training set holds.
        seed: of the data order and the initial weights.
    """

    seq_len: int
    global_batch_size: int
    micro_batch_size: int
    dp_size: int
    max_steps: int
    samples_per_epoch: int
    seed: int

    @property
    def grad_accum_steps(self) -> int:
        """Micro batches of one rank in one step."""
        return self.global_batch_size // (self.micro_batch_size * self.dp_size)

    @property
    def tokens_per_step(self) -> int:
        return self.global_batch_size * self.seq_len

    @property
    def max_tokens(self) -> int:
        return self.max_steps * self.tokens_per_step

    @property
    def max_epochs(self) -> float:
        return self.max_steps * self.global_batch_size / self.samples_per_epoch

    def describe(self) -> str:
        """Return the plan in words, with the length in steps, tokens and epochs."""
        return (
            f"{self.max_steps} steps = {self.max_tokens:,} tokens = {epochs(self.max_epochs)}; a step is "
            f"{self.global_batch_size} sequences x {self.seq_len} tokens = {counted(self.dp_size, 'rank')} x "
            f"{self.grad_accum_steps} accumulated x {self.micro_batch_size}"
        )


def epochs(number: float) -> str:
    """Return how often data are read, in words: `2.00 epochs`, `0.0063 epochs`."""
    return f"{number:.2f} epochs" if number >= 1 else f"{number:.2g} epochs"


def counted(count: int, word: str) -> str:
    """Return a count with its word: `1 rank`, `3 micro batches`."""
    ending = "" if count == 1 else "es" if word.endswith("ch") else "s"
    return f"{count} {word}{ending}"


class TrainerSettings:
    """What `trainer=` sets; `plan` adds the arithmetic.

    Args:
        seq_len: tokens per sequence.
        global_batch_size: sequences per step, over all ranks.
        micro_batch_size: sequences at a time on one rank.
        max_steps: length of the run in steps; at most one of the three lengths is set, none means one epoch.
        max_tokens: length of the run in tokens.
        max_epochs: length of the run in passes over the data; those with a budget of their own come on top.
        max_grad_norm: gradients are scaled down to this L2 norm; None leaves them.
        device_type: auto takes cuda, else mps, else cpu.
        compile: torch.compile, a block at a time; None compiles on cuda alone.
        deterministic: only kernels with reproducible sums; slower on GPUs.
        check_replicas_every_steps: steps between two comparisons of what the ranks hold, besides that before each save;
            None for those alone.
        hang_timeout_s: how long a rank may give no sign before the watchdog names it, in seconds; None has no watchdog.
        preflight: the look at a run that begins anew: short, of seconds; full, the whole ladder of launch/preflight.py
            behind the quick tests; none. A run that goes on takes none.
        reference: which pieces that are written twice run plainly (pretrain/pieces.py): true, all that the run has;
            false, none; or a list of names.
    Raises:
        SettingError: a number that can't be, two lengths at once, a piece that there isn't.
    """

    def __init__(
        self,
        seq_len: int,
        global_batch_size: int,
        micro_batch_size: int,
        max_steps: int | None = None,
        max_tokens: int | None = None,
        max_epochs: float | None = None,
        max_grad_norm: float | None = 1.0,
        device_type: DeviceType = "auto",
        compile: bool | None = None,  # noqa: A002 (the field's word for it)
        deterministic: bool = False,
        check_replicas_every_steps: int | None = 1000,
        hang_timeout_s: float | None = 300.0,
        preflight: Preflight = "short",
        reference: bool | list[str] = False,
    ) -> None:
        sizes = {"seq_len": seq_len, "global_batch_size": global_batch_size, "micro_batch_size": micro_batch_size}
        lengths = {"max_steps": max_steps, "max_tokens": max_tokens, "max_epochs": max_epochs}
        given = {name: value for name, value in lengths.items() if value is not None}
        for name, value in {**sizes, **given}.items():
            require(value > 0, name, value, "a number above 0, or null" if name in given else "1 or more")
        every, allowed = check_replicas_every_steps, "1 or more, or null to compare the ranks before saves alone"
        require(every is None or every >= 1, "check_replicas_every_steps", every, allowed)
        allowed = "a number above 0, or null for no clipping"
        require(max_grad_norm is None or max_grad_norm > 0, "max_grad_norm", max_grad_norm, allowed)
        allowed = "seconds, 5 or more, or null for no watchdog"
        require(hang_timeout_s is None or 5 <= hang_timeout_s < math.inf, "hang_timeout_s", hang_timeout_s, allowed)
        if len(given) > 1:
            (name, value), *others = given.items()
            raise SettingError(
                f"{name}: {value} is set, and {' and '.join(f'{other}={length}' for other, length in others)} as well, "
                "by the command line, an experiment or the option of trainer; one alone sets the length: add "
                f"{' or '.join(f'trainer.{each}=null' for each in given)} for what you don't mean"
            )
        self.seq_len, self.global_batch_size, self.micro_batch_size = seq_len, global_batch_size, micro_batch_size
        self.max_steps, self.max_tokens, self.max_epochs = max_steps, max_tokens, max_epochs
        self.max_grad_norm, self.device_type = max_grad_norm, device_type
        self.compile, self.deterministic = compile, deterministic
        self.check_replicas_every_steps, self.hang_timeout_s = check_replicas_every_steps, hang_timeout_s
        self.preflight, self.reference, self.plain_pieces = preflight, reference, asked_for(reference)

    def plan(self, dp_size: int, samples_per_epoch: int, seed: int, budgets: Budgets | None = None) -> Plan:
        """Return the run in numbers.

        Args:
            dp_size: ranks that share the batch.
            samples_per_epoch: sequences of one pass over all sources in use.
            seed: of the data order and the initial weights.
            budgets: of the sources; None where all have weights.
        Raises:
            ConfigError: the batch does not divide; shows the arithmetic and the nearest sizes that do. max_epochs is
                set and every source has a budget.
        """
        share = self.micro_batch_size * dp_size
        if self.global_batch_size % share:
            below, above = self.global_batch_size // share * share, -(-self.global_batch_size // share) * share
            raise ConfigError(
                f"trainer.global_batch_size: {self.global_batch_size} is not a multiple of trainer.micro_batch_size x "
                f"ranks = {self.micro_batch_size} x {dp_size} = {share}; "
                f"the nearest that are: {', '.join(str(size) for size in (below, above) if size)}"
                f"{self._ranks_that_fit(dp_size)}"
            )
        steps = self._steps(budgets or Budgets(0, samples_per_epoch))
        return Plan(
            self.seq_len, self.global_batch_size, self.micro_batch_size, dp_size, steps, samples_per_epoch, seed
        )

    def _ranks_that_fit(self, dp_size: int) -> str:
        """Return which numbers of ranks the batch divides among, where fewer or more would do."""
        shares, rest = divmod(self.global_batch_size, self.micro_batch_size)
        if rest:
            return ""
        fit = [ranks for ranks in range(1, 2 * dp_size) if shares % ranks == 0]
        return f"; or keep it with {', '.join(str(ranks) for ranks in fit[-MAX_NAMED:])} ranks"

    def _steps(self, budgets: Budgets) -> int:
        if self.max_steps is not None:
            return self.max_steps
        if self.max_tokens is not None:
            return math.ceil(self.max_tokens / (self.global_batch_size * self.seq_len))
        if self.max_epochs is not None and not budgets.weighted_epoch:
            raise ConfigError(
                f"trainer.max_epochs: {self.max_epochs} counts passes over the sources that have weights, and every "
                "source of data.mixture has a budget of its own; leave it out: the budgets decide the length"
            )
        samples = budgets.samples + budgets.weighted_epoch * (1.0 if self.max_epochs is None else self.max_epochs)
        return max(1, math.ceil(samples / self.global_batch_size))
