"""What must be the same for a run to go on: compared before any tensor is read; lists every key that differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foundation.files import canonical_json
from pretrain.checkpoint.errors import ResumeRefused
from pretrain.plan import Plan

GATE = "gate"  # the key of the facts under which the compared values are saved
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
        "tokenizer.json": tokenizer_hash,
        "manifest.json of data.path": data_hash,
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
        ResumeRefused: lists each differing key with the saved and the present value.
    """
    keys = sorted(saved.keys() | present.keys())
    differing = [key for key in keys if _shown(saved, key) != _shown(present, key)]
    if differing:
        lines = [f"{key}: saved {_cut(_shown(saved, key))}, now {_cut(_shown(present, key))}" for key in differing]
        listed = "\n  ".join(lines)
        raise ResumeRefused(
            f"{folder}: saved by a run that differs in what must stay the same:\n  {listed}\n"
            "set these back, or start another run with run_name=... or resume=never"
        )


def _shown(facts: dict[str, Any], key: str) -> str:
    return canonical_json(facts[key]).decode() if key in facts else _ABSENT


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
