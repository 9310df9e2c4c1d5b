"""A checkpoint that was saved with another guard: weights and moments go on, the guard begins anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from pretrain.checkpoint.reading import Opened
from pretrain.types import TrainState

GUARD = "guard"  # the key of its facts; with a dot, what the names of its tensors begin with


def is_of_another_guard(opened: Opened, state: TrainState) -> bool:
    """Return whether the guard in the checkpoint has other tensors or facts than the live one: it can't go on."""
    saved = {name: _kind(entry) for name, entry in opened.metadata.state_dict_metadata.items() if _is_guards(name)}
    live = {name: (tensor.shape, tensor.dtype) for name, tensor in state.tensors.items() if _is_guards(name)}
    return saved != live or opened.facts.get(GUARD, {}).keys() != state.facts.get(GUARD, {}).keys()


def without_guard(opened: Opened, state: TrainState) -> tuple[Opened, dict[str, Tensor]]:
    """Return the checkpoint without its guard, in whose place stand the facts of the live one; and what it fills."""
    saved = opened.metadata
    metadata = Metadata(
        {name: entry for name, entry in saved.state_dict_metadata.items() if not _is_guards(name)},
        storage_data=saved.storage_data,
    )
    facts = opened.facts | {GUARD: state.facts.get(GUARD, {})}
    tensors = {name: tensor for name, tensor in state.tensors.items() if not _is_guards(name)}
    return replace(opened, metadata=metadata, facts=facts), tensors


def _is_guards(name: str) -> bool:
    return name.startswith(f"{GUARD}.")


def _kind(entry: Any) -> tuple[Any, Any]:
    assert isinstance(entry, TensorStorageMetadata)
    return entry.size, entry.properties.dtype
