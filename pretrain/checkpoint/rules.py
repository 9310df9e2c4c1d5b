"""What may differ when a run goes on: one list, of every key of the config and of what else a step hangs on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pretrain.checkpoint.environment import ENVIRONMENT


class Class(Enum):
    """What it takes to go on with another value."""

    UNSEEN = "not of the run: how this start was asked for"
    FREE = "free"
    ASKS = "needs allow_change"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Rule:
    """A class and, in words, what a change does. Free changes that do something are journaled, too.

    Attributes:
        then: what becomes of the run, or why it can't go on; empty where nothing does.
    """

    kind: Class
    then: str = ""


BITS = "bits may differ"
_UNSEEN, _FREE = Rule(Class.UNSEEN), Rule(Class.FREE)
_BITS = Rule(Class.FREE, BITS)
_OTHER_MODEL = Rule(Class.REFUSED, "the weights are those of the other model")
_OTHER_BATCHES = Rule(Class.REFUSED, "the steps before it were made of other samples")

SHARDS, TOKENIZER = "manifest.json of data.path", "tokenizer.json"  # keys whose values are hashes
SOURCES = "data.sources"  # a source's name -> what decides which of its tokens a step holds
RANKS = "ranks"
OF_A_BLOCK, OF_THE_RUN = "samples_of_a_block", "samples_of_the_run"  # of a source: what its weight, or budgets, give

# The longest key that a full key is or lies below decides. One without a rule needs allow_change: nobody has said
# that it may differ. A whole group has one rule where all of its options are of one kind, those of users too.
RULES = {
    "resume": _UNSEEN,
    "allow_change": _UNSEEN,
    "run_name": _FREE,
    "runs_dir": _FREE,
    "launcher": _FREE,
    "logger": _FREE,
    "profile": _FREE,
    "watch": _FREE,
    "debug": _BITS,
    "eval": _FREE,
    "checkpoint": _FREE,
    "parallel": Rule(Class.FREE, f"gradients are summed in another order: {BITS}"),
    RANKS: Rule(Class.FREE, f"the same samples in the same batches, summed in another order: {BITS}"),
    "model": _OTHER_MODEL,
    "model.dropout": Rule(Class.ASKS, "from here on"),
    "seed": _OTHER_BATCHES,
    "data._target_": _OTHER_BATCHES,
    "data.path": _FREE,  # the checkpoint knows the shards by their hash, wherever they lie
    "data.prefetch_steps": _FREE,
    "data.max_epochs_per_source": _FREE,
    "data.mixture": _FREE,  # however it is spelled: what it gives a step is told by SOURCES
    "data.first_samples": _OTHER_BATCHES,
    "data.mask_after_eot": Rule(Class.REFUSED, "the loss before it is of other targets"),
    SOURCES: _OTHER_BATCHES,
    SHARDS: Rule(Class.REFUSED, "a run goes on with its own shards alone"),
    TOKENIZER: Rule(Class.REFUSED, "the weights are of the other tokens"),
    "optim": Rule(Class.ASKS, "from here on"),
    "schedule": Rule(Class.ASKS, "the learning rate of every step to come"),
    "precision": Rule(Class.ASKS, "from here on"),
    "spike": Rule(Class.ASKS, "from here on"),
    "trainer._target_": Rule(Class.ASKS, "the plan of the run"),
    "trainer.seq_len": _OTHER_BATCHES,
    "trainer.global_batch_size": _OTHER_BATCHES,
    "trainer.micro_batch_size": Rule(Class.FREE, f"the same batch, summed in another order: {BITS}"),
    "trainer.max_steps": Rule(Class.ASKS, "the length, and with it the learning rate of every step to come"),
    "trainer.max_tokens": Rule(Class.ASKS, "the length, and with it the learning rate of every step to come"),
    "trainer.max_epochs": Rule(Class.ASKS, "the length, and with it the learning rate of every step to come"),
    "trainer.max_grad_norm": Rule(Class.ASKS, "from here on"),
    "trainer.device_type": _BITS,
    "trainer.hang_timeout_s": _FREE,
    "trainer.preflight": _FREE,
    "trainer.check_replicas_every_steps": _FREE,
    "trainer.compile": _BITS,
    "trainer.deterministic": _BITS,
    "trainer.reference": _BITS,
    ENVIRONMENT: _BITS,
    f"{ENVIRONMENT}.code": Rule(Class.FREE, "bits may differ, and what a setting does"),
}
# A source's name stands before these.
OF_SOURCES = {
    OF_A_BLOCK: Rule(Class.REFUSED, "it follows from data.mixture: the steps before it were made of other samples"),
    OF_THE_RUN: Rule(
        Class.REFUSED,
        "it follows from data.mixture and the length: a run with budgets is one order, and can't be made longer",
    ),
}
UNKNOWN = Rule(Class.ASKS, "it has no rule in checkpoint/rules.py")


def rule_of(key: str) -> Rule:
    """Return the rule of a full key."""
    parts = key.split(".")
    if key.startswith(f"{SOURCES}.") and parts[-1] in OF_SOURCES:
        return OF_SOURCES[parts[-1]]
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((RULES[prefix] for prefix in prefixes if prefix in RULES), UNKNOWN)


def covers(allowed: str, key: str) -> bool:
    """Return whether an entry of allow_change is meant for `key`: that key itself, or a group above it."""
    return key == allowed or key.startswith(f"{allowed}.")
