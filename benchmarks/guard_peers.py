"""Published rules against loss spikes, written down from their descriptions for guard.py, and their own classes.

A rule takes a step's loss and gradient norm and answers with what the gradient is multiplied by: 0 where the step is
skipped, less than 1 where it is scaled down, 1 where it is left alone, NaN where it becomes that. A rule that ends the
run instead sets `stopped`.

`PEERS` names beside each the peer's own class, loaded from a clone, to hold these against. Their packages are not
imported, so their dependencies need not be there: what the file imports from elsewhere is an empty module, or, where
the rule uses it, what is given here.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch


class Rule(Protocol):
    """Answers each step. Attributes: stopped: whether it has ended the run."""

    stopped: bool

    def answer(self, loss: float, norm: float) -> float:
        """Return what this step's gradient is multiplied by."""


class SkipStep:
    """OLMo-core's SkipStepOptimizer: mean and standard deviation of the last 128 values, whatever they were.

    A step is taken where loss and norm are both at most 6 standard deviations above the mean of the values before;
    every step is until there are 64 values, this one's among them. A comparison with NaN is false: skipped.

    Source: github.com/allenai/OLMo-core, src/olmo_core/optim/skip_step_optimizer.py; OLMo 2, arXiv:2501.00656.
    """

    def __init__(self, size: int = 128, sigmas: float = 6.0) -> None:
        self.stopped, self._sigmas, self._armed = False, sigmas, max(2, size // 2)
        self._past = deque[float](maxlen=size), deque[float](maxlen=size)

    def answer(self, loss: float, norm: float) -> float:
        usual = True
        for past, value in zip(self._past, (loss, norm), strict=True):
            if len(past) + 1 >= self._armed:
                held = torch.tensor(past)
                usual &= bool(torch.tensor(value) - held.mean() <= self._sigmas * held.std())
            past.append(value)
        return float(usual)


class KillLossSpike:
    """llm-foundry's KillLossSpike, log_only=false: ends the run on a loss that stays high; no step is skipped.

    Five losses in a row of at least twice the mean of the window, or half of a window above 10. The window is 100
    steps, or a twentieth of the run where that is more, and is waited for. (Its text says that the 10 becomes the
    highest loss of the first window; its code asks for that at a step where the window is never full.)

    Source: github.com/mosaicml/llm-foundry, llmfoundry/callbacks/kill_loss_spike_callback.py.
    """

    def __init__(self, num_steps: int, patience: int = 4, multiple: float = 2.0, cap: float = 10.0) -> None:
        self.stopped, self._step, self._outliers = False, 0, 0
        self._patience, self._multiple, self._cap = patience, multiple, cap
        self._losses = deque[float](maxlen=max(100, round(0.05 * num_steps)))

    def answer(self, loss: float, norm: float) -> float:
        self._step += 1
        size = self._losses.maxlen
        assert size is not None
        if len(self._losses) == size:
            outlier = loss >= self._multiple * sum(self._losses) / size
            self._outliers = self._outliers + 1 if outlier else 0
            high = sum(other > self._cap for other in self._losses) >= size / 2
            self.stopped |= self._outliers > self._patience or (high and self._step >= 2 * size)
        self._losses.append(loss)
        return 1.0


class ZClip:
    """ZClip: norms whose z-score against moving averages is above 2.5 are clipped, the more the higher; all to 1.

    Mean and variance begin as those of the first 25 norms, and take in each norm as it was clipped.

    Source: arXiv:2504.02507; github.com/bluorion-com/ZClip, zclip/zclip.py.
    """

    def __init__(self, keep: float = 0.97, most: float = 2.5, max_norm: float = 1.0, warmup: int = 25) -> None:
        self.stopped, self._keep, self._most, self._max_norm, self._warmup = False, keep, most, max_norm, warmup
        self._first: list[float] = []
        self._mean = self._variance = math.nan

    def answer(self, loss: float, norm: float) -> float:
        if len(self._first) < self._warmup:
            self._first.append(norm)
            if len(self._first) == self._warmup:
                self._mean = sum(self._first) / self._warmup
                self._variance = sum((each - self._mean) ** 2 for each in self._first) / self._warmup
            return clipped(norm, self._max_norm)
        spread = self._variance**0.5
        z = (norm - self._mean) / (spread + 1e-6)
        bound = self._mean + self._most * spread * self._most / z if z > self._most else norm
        self._mean = self._keep * self._mean + (1 - self._keep) * bound
        self._variance = self._keep * self._variance + (1 - self._keep) * (bound - self._mean) ** 2
        effective = bound if math.isnan(bound) else min(bound, self._max_norm)
        return effective / (norm + 1e-6) if norm > effective else 1.0


class Clip:
    """Clipping to a norm of 1, as PyTorch's clip_grad_norm_ does it, and nothing else.

    Source: Pascanu et al., arXiv:1211.5063.
    """

    def __init__(self, max_norm: float = 1.0) -> None:
        self.stopped, self._max_norm = False, max_norm

    def answer(self, loss: float, norm: float) -> float:
        return clipped(norm, self._max_norm)


def clipped(norm: float, max_norm: float) -> float:
    """Return clip_grad_norm_'s factor; of NaN it is NaN, of infinity 0 (which makes NaN of the infinite gradient)."""
    factor = max_norm / (norm + 1e-6)
    return factor if math.isnan(factor) else min(factor, 1.0)


class _Anything(types.ModuleType):
    """A module with every name: each an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@contextmanager
def _stood_in(names: tuple[str, ...], **values: Any) -> Iterator[None]:
    """Let these modules be importable meanwhile."""
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        module = _Anything(name)
        module.__dict__.update(values)
        sys.modules[name] = module
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _load(path: Path, stood_in: tuple[str, ...], **values: Any) -> Any:
    spec = importlib.util.spec_from_file_location(f"peer_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _stood_in(stood_in, **values):
        spec.loader.exec_module(module)
    return module


class OwnSkipStep:
    """The class of a clone of OLMo-core, behind `answer`."""

    def __init__(self, clone: Path) -> None:
        path = clone / "src/olmo_core/optim/skip_step_optimizer.py"
        helpers = {"get_default_device": lambda: torch.device("cpu"), "move_to_device": lambda value, device: value}
        module = _load(path, ("olmo_core", "olmo_core.utils"), **helpers)
        self.stopped = False
        self.optimizer = module.SkipStepOptimizer([torch.zeros(1, requires_grad=True)], {})

    def answer(self, loss: float, norm: float) -> float:
        self.optimizer.latest_loss, self.optimizer.latest_grad_norm = torch.tensor(loss), torch.tensor(norm)
        return float(self.optimizer.get_step_factor())


class OwnKillLossSpike:
    """The class of a clone of llm-foundry, behind `answer`; it is told step and length as Composer does."""

    def __init__(self, clone: Path, num_steps: int) -> None:
        composer = ("composer", "composer.core", "composer.loggers", "composer.utils")
        needed = ("llmfoundry", "llmfoundry.utils", "llmfoundry.utils.exceptions", "llmfoundry.utils.warnings")
        self._unit = types.SimpleNamespace(EPOCH="ep", BATCH="ba", TOKEN="tok")
        module = _load(
            clone / "llmfoundry/callbacks/kill_loss_spike_callback.py",
            composer + needed,
            experimental_class=lambda name: lambda cls: cls,
            dist=types.SimpleNamespace(get_global_rank=lambda: 0),
            TimeUnit=self._unit,
            LossSpikeError=_raised("LossSpikeError"),
            HighLossError=_raised("HighLossError"),
        )
        self.stopped, self._step = False, 0
        self._length = types.SimpleNamespace(unit="ba", value=num_steps)
        self._callback = module.KillLossSpike(log_only=False)
        self._ends = (module.LossSpikeError, module.HighLossError)

    def answer(self, loss: float, norm: float) -> float:
        self._step += 1
        now = types.SimpleNamespace(batch=self._step, token=1)
        state = types.SimpleNamespace(loss=torch.tensor(loss), timestamp=now, max_duration=self._length)
        try:
            self._callback.batch_end(state, None)
        except self._ends:
            self._callback.loss_window.append(loss)  # Composer would have ended here; the replay goes on
            self.stopped = True
        return 1.0


def _raised(name: str) -> type[Exception]:
    return type(name, (Exception,), {"__init__": lambda self, **told: None})


class OwnZClip:
    """The class of a clone of ZClip, behind `answer`: a model of one weight has the gradient that is asked for."""

    def __init__(self, clone: Path) -> None:
        module = _load(clone / "zclip/zclip.py", ("lightning",))
        self.stopped, self._zclip, self._model = False, module.ZClip(), torch.nn.Linear(1, 1, bias=False).double()

    def answer(self, loss: float, norm: float) -> float:
        (weight,) = self._model.parameters()
        weight.grad = torch.full_like(weight, norm)
        self._zclip.step(self._model)
        return weight.grad.item() / norm


# name of the clone below --peer-dir, our rule, theirs; both made for a run of so many steps
Makes = Callable[[int], Rule]
PEERS: dict[str, tuple[str, Makes, Callable[[Path, int], Rule]]] = {
    "OLMo-core's SkipStepOptimizer": (
        "OLMo-core",
        lambda steps: SkipStep(),
        lambda clone, steps: OwnSkipStep(clone),
    ),
    "llm-foundry's KillLossSpike": ("llm-foundry", KillLossSpike, OwnKillLossSpike),
    "ZClip": ("ZClip", lambda steps: ZClip(), lambda clone, steps: OwnZClip(clone)),
}
