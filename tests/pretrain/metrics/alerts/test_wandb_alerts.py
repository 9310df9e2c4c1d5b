"""What of an alert leaves for W&B."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from pretrain.metrics.alerts.follow import standing
from pretrain.metrics.wandb_child.alerts import Alerts, without_place
from pretrain.run_folder import write_status
from pretrain.types import Status
from tests.pretrain.metrics.alerts.lines import add_hang


class Told:
    """Takes alerts as wandb's run does; the first ones it may fail at."""

    name = "night"

    def __init__(self, fails: int = 0) -> None:
        self.alerts, self.fails = list[tuple[str, str]](), fails

    def alert(self, title: str, text: str, **_: Any) -> None:
        if self.fails:
            self.fails -= 1
            raise ConnectionError
        self.alerts.append((title, text))


def settings(run_dir: Path, *events: str) -> dict[str, Any]:
    told = {"events": list(events), "min_interval_s": 0.0}
    return {"alerts": told, "step": 0, "restarts": False, "old": standing(run_dir)}


def test_neither_host_nor_folder_leaves(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "node7.x.org")
    run, told = Told(), settings(run_dir, "stall", "stop")
    alerts = Alerts(run, run_dir, told)
    add_hang(run_dir, 41)
    alerts.end("killed")
    (_, stall), (_, stop) = run.alerts
    assert stall.startswith("rank 0 (process 4711) gave no sign for 301 s: step 42, micro batch 1, forward; 1 more")
    assert stop.startswith("the run ended without a word: rank 0 (process 4711) gave no sign for 301 s")
    assert "node7" not in stall + stop and str(run_dir) not in stall + stop


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("{run}/checkpoints/step_00000100: no space left", "run_dir/checkpoints/step_00000100: no space left"),
        ("runs/night: vanished; was 'runs/night' moved?", "run_dir: vanished; was 'run_dir' moved?"),
        ("runs/night_2 and overruns/night stay", "runs/night_2 and overruns/night stay"),
        ("rank 1 (process 7) on other.x.org gave no sign for 9 s: x", "rank 1 (process 7) gave no sign for 9 s: x"),
        ("no route from node7, http://node7.x.org:80/.", "no route from ***, http://***:80/."),
        ("node70 and my-node7 are others", "node70 and my-node7 are others"),
    ],
)
def test_what_is_cut(text: str, left: str, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run_dir.parent.parent)
    assert without_place(text.format(run=run_dir), "node7.x.org", run_dir) == left


def test_the_stop_is_sent_also_when_an_alert_failed_just_before(run_dir: Path) -> None:
    run = Told(fails=1)
    alerts = Alerts(run, run_dir, settings(run_dir, "start", "stop"))
    while run.fails:  # by its thread, after a second
        alerts._ended.wait(0.01)
    write_status(run_dir, Status.STOPPED, "6 bad steps in a row", 9)
    alerts.end("stopped")
    assert [title for title, _ in run.alerts] == ["begun at step 0", "stopped at step 9"]
