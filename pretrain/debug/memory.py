"""Memory by part, against what the device has: weights, gradients and moments counted, activations measured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from foundation.memory import machine_bytes, peak_bytes, reset_peak, resident_bytes
from foundation.progress import human
from pretrain.debug.gradients import backward
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning
from pretrain.parallel.compile import COMPILED
from pretrain.run import state_of

TIGHT_FRAC = 0.9  # of the device: fragments and libraries take some


@dataclass(slots=True)
class Parts:
    """Bytes by part.

    Attributes:
        weights, gradients, moments: of the state, counted.
        activations: what one micro batch keeps for its backward, measured, logits left aside.
        logits: the largest tensor over the vocabulary that a forward and backward makes, whether it is kept or not.
    """

    weights: int = 0
    gradients: int = 0
    moments: int = 0
    activations: int = 0
    logits: int = 0

    @property
    def total(self) -> int:
        """All of them: what a step needs at the least."""
        return self.weights + self.gradients + self.moments + self.activations + self.logits


class Memory(Rung):
    """Whether a micro batch fits, and what takes how much."""

    name = "memory"

    def check(self, subject: Subject) -> Finding:
        run = subject.run
        device, batch = run.mesh.device, subject.sample
        parts = counted(subject)
        vocab_size = subject.tokenizer.padded_vocab_size
        weights = (id(parameter) for parameter in run.model.parameters())
        with measured(device) as peak, keeping(parts, weights, vocab_size):
            backward(subject, batch)
        there = device_bytes(device)
        # on a CPU the ranks of a machine share it
        share = there // run.mesh.local_size if device.type == "cpu" else there
        figure = f"{human(parts.total, 'B')} of {human(share, 'B')} that a rank has on {device.type}"
        is_eager = run.compiled != COMPILED
        problems = judged(max(parts.total, peak.bytes), share, run.plan.micro_batch_size, is_eager)
        return self.found(figure, problems, [told(parts), peak.told])


def counted(subject: Subject) -> Parts:
    """Return the parts that are known without computing."""
    run = subject.run
    trained = [parameter for parameter in run.model.parameters() if parameter.requires_grad]
    state = state_of(run).tensors
    return Parts(
        weights=bytes_of(each for name, each in state.items() if name.startswith("model.")),
        gradients=bytes_of(trained),
        moments=bytes_of(each for name, each in state.items() if name.startswith("optim.")),
    )


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of tensors; those that share memory count once."""
    return sum(
        {each.untyped_storage().data_ptr() or id(each): each.untyped_storage().nbytes() for each in tensors}.values()
    )


@contextlib.contextmanager
def keeping(parts: Parts, parameters: Iterable[int], vocab_size: int) -> Iterator[None]:
    """Add to `parts` what autograd keeps inside this block, and the largest tensor over the vocabulary.

    Args:
        parts: takes activations and logits.
        parameters: ids of the tensors that are weights: these are kept anyway.
        vocab_size: the model's, padded.
    """
    weights, kept = set(parameters), dict[int, int]()

    def pack(tensor: Tensor) -> Tensor:
        base = tensor if tensor._base is None else tensor._base
        if id(base) not in weights and id(tensor) not in weights and tensor.size()[-1:] != (vocab_size,):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    over_vocabulary = OverVocabulary(vocab_size)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), over_vocabulary:
        yield
    parts.activations, parts.logits = sum(kept.values()), over_vocabulary.largest_bytes


class OverVocabulary(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the largest tensor whose last dim is the vocabulary, of all that are made inside the block.

    Args:
        vocab_size: the model's, padded.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._vocab_size, self.largest_bytes = vocab_size, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {each.untyped_storage().data_ptr() for each in args if isinstance(each, Tensor)}
        for each in made if isinstance(made, list | tuple) else (made,):
            if not isinstance(each, Tensor) or each.dim() < 2 or each.size(-1) != self._vocab_size:
                continue
            if each.untyped_storage().data_ptr() not in given:  # a view, such as the head transposed, is not made
                self.largest_bytes = max(self.largest_bytes, each.numel() * each.element_size())
        return made


@dataclass(slots=True)
class Peak:
    """The most that was held at once: bytes, and in words how that was measured."""

    bytes: int = field(default=0)
    told: str = field(default="")


@contextlib.contextmanager
def measured(device: torch.device) -> Iterator[Peak]:
    """Give what takes the peak of this block: torch's own count on a GPU, of the process's resident memory on a CPU."""
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated(device)
        peak.told = f"measured: at most {human(peak.bytes, 'B')} were allocated in a forward and backward"
        return
    before, is_reset = resident_bytes(), reset_peak()
    yield peak
    rise = max(peak_bytes() - before, 0)
    peak.told = (
        f"measured: the process rose by {human(rise, 'B')} to {human(before + rise, 'B')} in a forward and backward"
    )
    if not is_reset:
        peak.told = "measured: nothing, this system does not count a process's peak anew"


def device_bytes(device: torch.device) -> int:
    """Return the memory of a device; of a CPU what this process may use."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory())
    return machine_bytes()


def judged(needed: int, there: int, micro_batch_size: int, is_eager: bool) -> list[Problem]:
    """Return what is wrong where a rank needs nearly what there is, or more.

    Args:
        needed, there: bytes. micro_batch_size: of the plan.
        is_eager: whether training computes as the check did; compiled, it takes less.
    """
    if needed <= TIGHT_FRAC * there:
        return []
    smaller = max(1, micro_batch_size // 2)
    mend = (
        f"set trainer.micro_batch_size={smaller}"
        if micro_batch_size > 1
        else "take a smaller model or shorter sequences"
    )
    text = f"{human(needed, 'B')} are needed and {human(there, 'B')} are there: {mend}"
    return [stop(text) if needed > there and is_eager else warning(text)]


def told(parts: Parts) -> str:
    """Return the parts in words."""
    names = ("weights", "gradients", "moments", "activations", "logits")
    return ", ".join(f"{name} {human(getattr(parts, name), 'B')}" for name in names)
