"""A stop ends a look at once, amid a pass, and leaves the run as it was; what takes long says how far it is."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pretrain.debug import pulse
from pretrain.debug.by_heart import ByHeart
from pretrain.debug.gradients import Gradients
from pretrain.debug.preflight import look_before
from pretrain.debug.pulse import Pulse, beating
from pretrain.debug.stops import LookStopped
from pretrain.run import Run, state_of


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
@pytest.mark.parametrize("preflight", ["short", "full"])
def test_a_stop_ends_a_look_amid_a_backward(
    small: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, name: str, preflight: str
) -> None:
    run, passes = small(f"trainer.preflight={preflight}"), []
    monkeypatch.setattr("pretrain.debug.preflight.all_rungs", lambda: [ByHeart()])
    monkeypatch.setattr("pretrain.debug.preflight.short_rungs", lambda: [Gradients()])

    def stop(gradient: Tensor) -> None:
        passes.append("backward")
        signal.raise_signal(number)

    def hook_backward(module: nn.Module, hook: Callable[[Tensor], None]) -> None:
        def forward(module: nn.Module, inputs: object, output: Tensor) -> None:
            if output.requires_grad:
                output.register_hook(hook)

        module.register_forward_hook(forward)

    hook_backward(run.model.final_norm, stop)
    hook_backward(run.model.blocks[0], lambda gradient: passes.append("further down"))
    before = {name: tensor.clone() for name, tensor in state_of(run).tensors.items()}
    with pytest.raises(LookStopped, match=f"stopped by {name} before the first step; nothing was trained") as raised:
        look_before(run, tmp_path / "run")
    assert passes == ["backward"]  # the layers below were not reached
    assert (raised.value.exit_code, raised.value.restart_helps) == (128 + number, False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state_of(run).tensors.items())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_stop_that_came_before_is_heard(small: Callable[..., Run], tmp_path: Path) -> None:
    run = small()
    run.signal.ask("SIGTERM")
    with pytest.raises(LookStopped, match="stopped by SIGTERM"):
        look_before(run, tmp_path / "run")


def test_a_long_rung_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    shown, silent = Pulse(shows=True), Pulse()
    shown.begin("overfitting")
    shown.beat("step 1")
    assert capsys.readouterr().err == ""  # not yet
    monkeypatch.setattr(pulse, "LINE_EVERY_S", 0.0)
    shown.beat("step 2")
    shown.beat()
    silent.beat("step 2")
    assert capsys.readouterr().err == "preflight: overfitting: step 2, 0 s\n" * 2


def test_passes_beat_forward_and_backward_and_are_what_they_were(small: Callable[..., Run]) -> None:
    run, beats = small(), []
    batch = run.loader.micro_batches(0)[0]

    def gradients() -> list[Tensor]:
        run.model.zero_grad()
        run.model.loss_sum(batch.inputs_BT, batch.targets_BT)[0].backward()
        return [each.grad.clone() for each in run.model.parameters() if each.grad is not None]

    plain = gradients()
    with beating(run.model, torch.device("cpu"), beats.append):
        assert all(torch.equal(one, other) for one, other in zip(gradients(), plain, strict=True))
        count = len(beats)
        with torch.no_grad():
            run.model(batch.inputs_BT)
        forward = len(beats) - count
    assert count > 1.5 * forward > 0
    gradients()
    assert len(beats) == count + forward
    assert not any(each._backward_hooks for each in run.model.parameters())
