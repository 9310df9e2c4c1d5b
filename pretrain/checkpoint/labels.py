"""What is thought of a checkpoint: pending, healthy or bad, in a file beside the manifest.

The manifest never changes once it stands; an opinion does. So the label is a file of its own, replaced as a whole, and
says nothing of whether the bytes are those that were saved. One that is missing or unreadable counts as pending.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import orjson

from foundation.files import pretty_json, write_atomic

LABEL = "label.json"
_MAX_BYTES = 1 << 16  # more is no label: it isn't even read


class Label(Enum):
    """Pending: written; healthy: enough clean steps followed it; bad: it holds NaN or infinity, or none followed it."""

    PENDING = "pending"
    HEALTHY = "healthy"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A label. Attributes: reason: why it is bad, or was when a run took it; empty otherwise."""

    label: Label
    reason: str = ""


def read_label(folder: Path) -> Labelled:
    """Return a checkpoint's label; pending where there is none that can be read."""
    path = folder / LABEL
    try:
        content = orjson.loads(path.read_bytes()) if path.stat().st_size <= _MAX_BYTES else None
        return Labelled(Label(content["label"]), str(content["reason"])) if content else Labelled(Label.PENDING)
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return Labelled(Label.PENDING)


def label_json(label: Label, reason: str = "") -> bytes:
    """Return the content of a label's file."""
    return pretty_json({"label": label.value, "reason": reason})


def write_label(folder: Path, label: Label, reason: str = "") -> None:
    """Write a checkpoint's label: after any crash the old one or this one stands.

    Raises:
        OSError: the disk is full or the folder gone.
    """
    write_atomic(folder / LABEL, label_json(label, reason))


class Waiting:
    """The checkpoints whose label is open, each with the updates that were done when it was saved."""

    def __init__(self) -> None:
        self._updates: dict[Path, int] = {}

    def add(self, folder: Path, num_updates: int) -> None:
        """Take one in that was just saved, or found pending."""
        self._updates[folder] = num_updates

    def clear(self) -> None:
        """Forget all: the run goes on from elsewhere."""
        self._updates.clear()

    def followed(self, num_updates: int, steps: int) -> list[Path]:
        """Return, once, those that `steps` accepted steps or more have followed by now, the oldest first."""
        found = [folder for folder, then in self._updates.items() if num_updates - then >= steps]
        for folder in found:
            del self._updates[folder]
        return sorted(found)

    def unfollowed(self, num_updates: int) -> list[Path]:
        """Return those that no accepted step has followed, the oldest first."""
        return sorted(folder for folder, then in self._updates.items() if num_updates <= then)
