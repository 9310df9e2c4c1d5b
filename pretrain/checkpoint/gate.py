"""What must be the same for a run to go on: compared before any tensor is read; lists every key that differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foundation.files import canonical_json
from pretrain.checkpoint.errors import ResumeRefused
from pretrain.plan import Plan

GATE = "gate"  # the key of the facts under which the compared values are saved
SHARDS, TOKENIZER = "manifest.json of data.path", "tokenizer.json"  # keys whose values are hashes
SOURCES = "data.sources"  # a source's name -> what decides which of its tokens a step holds
SAMPLES = "samples_per_epoch"
_REMADE = "a run goes on with its own shards alone: make them again with the settings they had"
_ABSENT = "nothing"
_SHOWN_CHARS = 80


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


def require_same_run(folder: Path, saved: dict[str, Any], present: dict[str, Any]) -> None:
    """Compare the facts that must be equal.

    Args:
        folder: the checkpoint, for the message.
        saved: its gate facts.
        present: this run's.
    Raises:
        ResumeRefused: other shards, or the settings that differ, each with the saved and the present value.
    """
    old, new = _leaves(saved), _leaves(present)
    differing = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    remade = SHARDS in differing
    # Other shards have other counts and another tokenizer as a rule: neither is a setting that could be set back.
    settings = [key for key in differing if not (remade and (key in (SHARDS, TOKENIZER) or key.startswith(SOURCES)))]
    lines = [f"{key}: saved {_cut(old.get(key, _ABSENT))}, now {_cut(new.get(key, _ABSENT))}" for key in settings]
    if remade:
        lines.insert(0, _told(saved, present, TOKENIZER in differing))
    if lines:
        back = [text for asked, text in ((remade, _REMADE), (settings, "set these back")) if asked]
        listed = "\n  ".join(lines)
        raise ResumeRefused(
            f"{folder}: saved by a run that differs in what must stay the same:\n  {listed}\n"
            f"{' and '.join(back)}, or start another run with run_name=... or resume=never"
        )


def _told(saved: dict[str, Any], present: dict[str, Any], tokenizer: bool) -> str:
    """Return in words that the data folder holds other shards than the run's: what of them is seen to differ."""
    old, new = saved.get(SOURCES, {}), present.get(SOURCES, {})
    seen = []
    for name in sorted(old.keys() | new.keys()):
        then, now = (f"{each[name][SAMPLES]:,}" if name in each else "none" for each in (old, new))
        if then != now:
            seen.append(f"{name} {then} samples an epoch then, {now} now")
    seen += ["another tokenizer"] if tokenizer else []
    return f"data.path: holds other shards than those the run was trained on{': ' if seen else ''}{', '.join(seen)}"


def _leaves(facts: Any, key: str = "") -> dict[str, str]:
    """Return full key -> JSON of every value that is no mapping: false is not 0."""
    if not isinstance(facts, dict) or (key and not facts):
        return {key: canonical_json(facts).decode()}
    found: dict[str, str] = {}
    for name, value in facts.items():
        found |= _leaves(value, f"{key}.{name}" if key else name)
    return found


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
