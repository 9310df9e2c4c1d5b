"""What must be the same for a run to go on, and what else it was made of: compared before any tensor is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pretrain.checkpoint.changes import Change, compare, leaves, refusal
from pretrain.checkpoint.environment import ENVIRONMENT
from pretrain.checkpoint.errors import ResumeRefused
from pretrain.checkpoint.rules import RANKS, SHARDS, SOURCES, TOKENIZER
from pretrain.plan import Plan

GATE = "gate"  # the key of the facts under which the compared values are saved
CONFIG = "config"  # among these, the resolved config: a tree
DEFAULTS = "defaults"  # and what its classes take where a key is left out: full key -> value
SAMPLES = "samples_per_epoch"
_REMADE = "make them again with the settings they had"


def gate_facts(model: dict[str, Any], tokenizer_hash: str, data_hash: str, plan: Plan) -> dict[str, Any]:
    """Return what must be equal on resume, by config key; put it into `TrainState.facts["gate"]`.

    World size, micro batch, accumulation and the length of the run are free: the samples of each step stay the same.

    Args:
        model: the options of the config's `model` group: its shape.
        tokenizer_hash: of tokenizer.json.
        data_hash: of the shards' manifest.
        plan: gives seq_len, global_batch_size and the seed of the data order.
    """
    return {
        **{f"model.{key}": value for key, value in sorted(model.items())},
        TOKENIZER: tokenizer_hash,
        SHARDS: data_hash,
        "trainer.seq_len": plan.seq_len,
        "trainer.global_batch_size": plan.global_batch_size,
        "seed": plan.seed,
    }


def require_same_run(
    folder: Path,
    saved: dict[str, Any],
    present: dict[str, Any],
    ranks: tuple[int, int] = (1, 1),
    accepted: dict[str, Any] | None = None,
) -> list[Change]:
    """Compare what a checkpoint was made of with this run: settings, data, tokenizer, versions, device, ranks.

    A part that one side does not tell, such as the environment in a checkpoint of before it was kept, is not compared.

    Args:
        folder: the checkpoint, for the message.
        saved: its facts.
        present: this run's.
        ranks: those that saved it, and this run's.
        accepted: the config that the checkpoint's own run has gone on with since; None for another run's checkpoint.
    Returns:
        What differs and may.
    Raises:
        ResumeRefused: a key differs that may not, or that allow_change does not name; shows all that differ.
    """
    old, new = _told(saved, present, ranks[0]), _told(present, saved, ranks[1])
    allowed = _allowed(present)
    changes = compare(old, new, allowed, leaves(accepted) if accepted else None)
    if remade := any(change.key == SHARDS for change in changes):
        # Other shards have other counts and another tokenizer as a rule: neither is a setting that could be set back.
        changes = [_in_words(each, saved, present, changes) for each in changes if not _comes_of_shards(each.key)]
    if told := refusal(changes, allowed):
        path = next((f"set data.path={change.saved} back, or " for change in changes if change.key == "data.path"), "")
        made = f"\nof other shards: {path}{_REMADE}" if remade else ""
        step = saved.get("step")
        since = "" if step is None else f" since step {step}"
        raise ResumeRefused(f"{folder}: what changed{since} can't all go on:\n{told}{made}")
    return changes


def config_of(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the resolved config that is among a state's facts; empty where it isn't."""
    return dict(facts.get(GATE, {}).get(CONFIG, {}))


def _told(facts: dict[str, Any], other: dict[str, Any], ranks: int) -> dict[str, str]:
    """Return what is compared of one side, flat: parts that the other side does not tell are left out."""
    gate, others = dict(facts.get(GATE, {})), other.get(GATE, {})
    config, environment = gate.pop(CONFIG, {}), facts.get(ENVIRONMENT, {})
    gate.pop(DEFAULTS, None)
    found = leaves(gate) if gate else {}
    if config and others.get(CONFIG):
        found |= _left_out(config, others) | leaves(config)
    if other.get(ENVIRONMENT) and environment:
        found |= leaves({key: text for key, text in environment.items() if key != "world_size"}, ENVIRONMENT)
    return found | leaves(ranks, RANKS)


def _left_out(config: dict[str, Any], others: dict[str, Any]) -> dict[str, str]:
    """Return the defaults of keys that the config lacks and the other side has: a class that got a new key since."""
    found: dict[str, str] = {}
    for key, value in others.get(DEFAULTS, {}).items():
        group = key.partition(".")[0]
        nodes = (config.get(group), others[CONFIG].get(group))
        targets = [node.get("_target_") for node in nodes if isinstance(node, dict)]
        if len(targets) == 2 and targets[0] == targets[1]:
            found |= leaves(value, key)
    return found


def _allowed(present: dict[str, Any]) -> list[str]:
    return list(config_of(present).get("allow_change") or [])


def _comes_of_shards(key: str) -> bool:
    return key == TOKENIZER or key.startswith(SOURCES)


def _in_words(change: Change, saved: dict[str, Any], present: dict[str, Any], changes: list[Change]) -> Change:
    """Return the change of the shards told by what is seen to differ: a hash can't be set back by anybody."""
    if change.key != SHARDS:
        return change
    old, new = (facts.get(GATE, {}).get(SOURCES, {}) for facts in (saved, present))
    then, now = [], []
    for name in sorted(old.keys() | new.keys()):
        told = "{} {:,} samples an epoch"
        counts = [told.format(name, each[name][SAMPLES]) if name in each else f"no {name}" for each in (old, new)]
        if counts[0] != counts[1]:
            then.append(counts[0])
            now.append(counts[1])
    tokenizer = ", another tokenizer" if any(each.key == TOKENIZER for each in changes) else ""
    old_text, new_text = ", ".join(then) or "the run's own", ", ".join(now) or "others"
    return Change("shards of data.path", old_text, new_text + tokenizer, change.kind, change.allowed, change.then)
