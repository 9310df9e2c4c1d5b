"""State that the live guard or optimizer can't take over: the rest of the checkpoint goes on, theirs begins anew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from pretrain.checkpoint.reading import Opened
from pretrain.plan import counted
from pretrain.types import TrainState

# What the names of their tensors begin with; the guard's is also the key of its facts.
GUARD, OPTIMIZER = "guard", "optim"
SPIKE = "spike"  # the guard's group in the config
Kind = tuple[Any, Any]  # shape and dtype


@dataclass(frozen=True, slots=True)
class Fitting:
    """What of a checkpoint goes on.

    Attributes:
        opened: the checkpoint without what is left behind; in its facts the live guard's where that one begins anew.
        tensors: the live tensors that it fills.
        afresh: group of the config -> what of its state begins anew, in words.
    """

    opened: Opened
    tensors: dict[str, Tensor]
    afresh: dict[str, list[str]]


def fitting(opened: Opened, state: TrainState, another_optimizer: bool) -> Fitting:
    """Leave out what the live run can't take over.

    A guard goes on as a whole, or begins anew: its counts and windows belong together. An optimizer's state goes on
    parameter by parameter, where names, shapes and dtypes are those that were saved: moments without their counter
    would be corrected for steps that they never saw.

    Args:
        opened: the checkpoint.
        state: the live tensors and facts.
        another_optimizer: whether settings of the optimizer were changed; else its state must fit.
    """
    saved = {name: _kind(entry) for name, entry in opened.metadata.state_dict_metadata.items()}
    live = {name: (tensor.shape, tensor.dtype) for name, tensor in state.tensors.items()}
    left: set[str] = set()
    afresh: dict[str, list[str]] = {}
    facts = opened.facts
    if _of(GUARD, saved) != _of(GUARD, live) or facts.get(GUARD, {}).keys() != state.facts.get(GUARD, {}).keys():
        left |= {*_of(GUARD, saved), *_of(GUARD, live)}
        facts = facts | {GUARD: state.facts.get(GUARD, {})}
        afresh[SPIKE] = ["the guard: what it has seen and counted is left in the checkpoint"]
    if another_optimizer:
        unfit = _unfit(_of(OPTIMIZER, saved), _of(OPTIMIZER, live))
        left |= unfit
        if unfit:
            afresh[OPTIMIZER] = _in_words(unfit & live.keys(), unfit & saved.keys())
    metadata = Metadata(
        {name: entry for name, entry in opened.metadata.state_dict_metadata.items() if name not in left},
        storage_data=opened.metadata.storage_data,
    )
    tensors = {name: tensor for name, tensor in state.tensors.items() if name not in left}
    return Fitting(replace(opened, metadata=metadata, facts=facts), tensors, afresh)


def _unfit(saved: dict[str, Kind], live: dict[str, Kind]) -> set[str]:
    """Return the names of all state of those parameters for which the two optimizers keep different things."""
    old, new = _by_parameter(saved), _by_parameter(live)
    others = {parameter for parameter in old.keys() | new.keys() if old.get(parameter) != new.get(parameter)}
    return {name for name in saved.keys() | live.keys() if name.rpartition(".")[0] in others}


def _by_parameter(state: dict[str, Kind]) -> dict[str, dict[str, Kind]]:
    found: dict[str, dict[str, Kind]] = {}
    for name, kind in state.items():
        parameter, _, moment = name.rpartition(".")
        found.setdefault(parameter, {})[moment] = kind
    return found


def _in_words(new: Iterable[str], left: Iterable[str]) -> list[str]:
    """Return which state begins anew and which stays in the checkpoint, by the names of the moments."""
    said = []
    for names, what in ((new, "begin at zero"), (left, "stay in the checkpoint")):
        moments = sorted({name.rpartition(".")[2] for name in names})
        if moments:
            parameters = len({name.rpartition(".")[0] for name in names})
            said.append(f"{', '.join(moments)} of {counted(parameters, 'parameter')} {what}")
    return said


def _of(room: str, kinds: dict[str, Kind]) -> dict[str, Kind]:
    return {name: kind for name, kind in kinds.items() if name.startswith(f"{room}.")}


def _kind(entry: Any) -> Kind:
    assert isinstance(entry, TensorStorageMetadata)
    return entry.size, entry.properties.dtype
