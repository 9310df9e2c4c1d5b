"""Lines of a run's files as the run writes them, for alerts to be made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pretrain.heartbeat import Beat, Phase
from pretrain.metrics.alerts.events import Event, event_of
from pretrain.metrics.alerts.messages import Sender
from pretrain.watchdog.report import details, fate, headline


class Clock:
    """Stands still unless it is set: `now_s`."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


CANARY = "canary-of-the"
SKIP = {"event": "skip", "loss": "NaN", "grad_norm": "NaN", "reason": "loss not finite", "loss_z": "NaN"}
SKIP |= {"median_loss": 3.25, "median_grad_norm": 1.5, "first_sample": 16, "last_sample": 23}
REWIND = {"event": "rewind", "number": 2, "to_step": 10, "at_step": 23, "at_data_step": 22, "onset_step": 21}
REWIND |= {"reason": "3 of the last 6 steps were skipped", "first_data_step": 16, "end_data_step": 26}
REWIND |= {"lr_factor": 0.5, "lr_cut_steps": 20, "onset_data_step": 20, "first_sample": 128, "last_sample": 207}
DYING = {"event": "dying_layer", "step": 40, "layer": "blocks.3", "looks": 10, "grad_norm": 1e-12}
DYING |= {"whole_grad_norm": 1.25}


def skip(step: int, **more: Any) -> dict[str, Any]:
    return {**SKIP, "step": step, "data_step": step - 1, **more}


def hang(step: int) -> str:
    """What the watchdog adds to hang.txt of a rank that stands in the step after this one."""
    beat = Beat(4711, 0, 0, step, 1, Phase.FORWARD, 0, False, step + 1, 0)
    head = headline([beat], 301.0, 2, fate(kills=False, held=False, waits_s=2400))
    return f"2026-01-01 00:00:00 {head}\n{details([beat], {0: 'asleep'}, {0: '  File x.py, line 3'}, {0: 301.0})}\n"


def add_hang(run_dir: Path, step: int) -> None:
    with (run_dir / "hang.txt").open("a") as file:
        file.write(hang(step))


def assert_no_secret(run_dir: Path, *said: str) -> None:
    for path in run_dir.rglob("*"):
        assert not path.is_file() or CANARY not in path.read_text(errors="replace"), path
    assert not any(CANARY in text for text in said)


def sender(run_dir: Path) -> Sender:
    return Sender("night", "node7", run_dir)


def spike(step: int, run_dir: Path) -> Event:
    event = event_of(skip(step), run_dir)
    assert event is not None
    return event
