"""What is said of a going-back, on devices whose sums come out alike each time and on those where they may not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pretrain.journal import BITS_COMPARED, BITS_NOT_COMPARED
from pretrain.json_lines import read_lines
from pretrain.mesh import Mesh
from pretrain.metrics.alerts.events import event_of
from pretrain.plan import Plan
from pretrain.run_files import JOURNAL
from pretrain.stability.escalation import Escalation
from pretrain.stability.rewinds import Rewinds
from pretrain.types import Record, SavedAt


@pytest.mark.parametrize(("device", "told"), [("cpu", BITS_COMPARED), ("cuda", BITS_NOT_COMPARED)])
def test_bits_are_promised_to_be_compared_only_where_they_are(
    mesh: Mesh, plan: Plan, tmp_path: Path, device: str, told: str
) -> None:
    it = Escalation(Rewinds(skips=1), mesh, plan, torch.device(device), tmp_path)
    assert not it.begin()
    record = Record(21, 20, 0.1, 0.0, float("nan"), 1.0, skipped=True, num_targets=8, stop=False)
    assert it.see(record, counts=True)
    assert it.leave(SavedAt(10, 10, "step_00000010")).endswith(f"back to step 10, to do the same steps again: {told}")
    (line,) = read_lines(tmp_path / JOURNAL)
    assert line["event"] == "replay" and line["compared"] is (device == "cpu")
    event = event_of(line, tmp_path)
    assert event is not None and event.then.endswith(told)
