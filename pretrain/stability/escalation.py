"""From skips to rewinds: what the guard has seen, what the journal tells, and what is written before it is done."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from foundation.files import read_json, write_json
from pretrain.journal import (
    BITS_COMPARED,
    BITS_NOT_COMPARED,
    CHANGE,
    FAULT,
    GOING,
    NO_WAY,
    NOT_AGAIN,
    REPLAY,
    REWIND,
    TAKEN,
    TOLD,
)
from pretrain.json_lines import JsonLines, read_lines, spelled
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.run_files import CHECKPOINTS, JOURNAL, METRICS, REPLAYED_STEPS
from pretrain.stability.lr_cuts import LrCut
from pretrain.stability.passed_over import PassedOver, order_of, require_journal, samples_of, windows_of
from pretrain.stability.rewinds import History, Rewinds, Trouble
from pretrain.stability.rise import Rise
from pretrain.types import Record, SavedAt, WayBack

MAX_FAULTS = 2  # that are remembered: one may be a cosmic ray


class Escalation:
    """Says when a run goes back, and keeps the account of it in the journal; the same on every rank.

    Args:
        settings: None never goes back; batches that were passed over before are passed over still.
        mesh: rank 0 reads and writes.
        plan: sequences per step.
        device: whose sums are reproducible or not.
        run_dir: of the run.
        skip_windows: another run's journal, whose batches are passed over here, too; read once.
    Raises:
        JournalRefused: there is no such journal.
    Attributes:
        passed_over: batches that no step takes. cuts: of the learning rate. stopped: why the run can't go on, once.
    """

    def __init__(
        self,
        settings: Rewinds | None,
        mesh: Mesh,
        plan: Plan,
        device: torch.device,
        run_dir: Path,
        skip_windows: str | None = None,
    ) -> None:
        if skip_windows is not None and not (run_dir / JOURNAL).exists():  # once taken they stand in the run's own
            require_journal(Path(skip_windows))
        self._skip_windows = skip_windows
        self._settings, self._mesh, self._plan, self._run_dir = settings, mesh, plan, run_dir
        self._journal = JsonLines(run_dir / JOURNAL)
        self._on_cpu = device.type == "cpu"
        self._identity = [mesh.world_size, plan.micro_batch_size, torch.get_num_threads(), torch.__version__]
        rise = settings or Rewinds(rise_nats=None)
        self._rise = Rise(rise.rise_nats, rise.rise_steps, rise.memory_steps)
        self._skips: list[list[int]] = []  # [step, data_step] of the last ones
        self._trouble: Trouble | None = None
        self._expected: dict[str, list[float | str]] = {}  # of the replay: step -> loss and gradient norm
        self._history = History()
        self.passed_over, self.cuts, self.stopped = PassedOver(), list[LrCut](), ""

    def begin(self) -> bool:
        """Take up what the journal tells; return whether a going-back that was decided is still to be done."""
        lines = self._mesh.broadcast_json(list(read_lines(self._journal.path)) if self._mesh.is_main else None)
        self._history, self.passed_over, self.cuts = History(), PassedOver(), []
        for line in lines:
            self._take(line)
        self._take_windows(lines)
        if self._history.replay is not None:
            self._expected = self._mesh.broadcast_json(self._recorded() if self._mesh.is_main else None)
        pending = self._history.pending
        self._trouble = None if pending is None or self._settings is None else Trouble.of(pending)
        return self._trouble is not None

    def _take_windows(self, lines: list[dict[str, Any]]) -> None:
        path = self._skip_windows
        if path is None or any(line.get("event") == TAKEN and line["journal"] == path for line in lines):
            return
        windows = self._mesh.on_main(lambda: windows_of(Path(path), self._plan))
        told = {"batch_size": self._plan.global_batch_size, "order": order_of(self._plan)}
        self._say({"event": TAKEN, "journal": path, "windows": windows} | told)
        if self._mesh.is_main:
            count, first = sum(end - first for first, end in windows), min(first for first, _ in windows)
            said = f"spike.skip_windows: batches passed over, as {path} says: {count:,}, the first of them {first:,}"
            print(said, file=sys.stderr, flush=True)

    def _take(self, line: dict[str, Any]) -> None:
        self._history.add(line)
        if line.get("event") == REWIND:
            self.passed_over.add(int(line["first_data_step"]), int(line["end_data_step"]))
            if line["lr_factor"] < 1:
                self.cuts.append(LrCut(int(line["to_step"]), float(line["lr_factor"]), int(line["lr_cut_steps"])))
        for first, end in line["windows"] if line.get("event") == TAKEN else ():
            self.passed_over.add(int(first), int(end))

    def see(self, record: Record, counts: bool) -> bool:
        """Take one record; return whether the run is to go back because of it.

        Args:
            record: of the next step.
            counts: whether it was skipped, and not for its gradient norm alone.
        """
        if self._settings is None:
            return False
        self._compare(record)
        reason = self._reason(record, counts)
        replay = self._history.replay
        if not reason and replay is not None and record.step > replay["at_step"] + self._settings.within_steps:
            self._say({"event": NOT_AGAIN, "number": replay["number"], "at_step": record.step})
        if not reason or self.stopped:
            return bool(self.stopped)
        onset_step, onset_data_step = self._skips[0] if counts else self._rise.onset
        self._trouble = Trouble(record.step, record.data_step, onset_step, onset_data_step, reason)
        times = self._history.recent(record.step, self._settings.memory_steps)
        if times >= len(self._settings.lr_factors):
            self.stopped = (
                f"{reason}, and the run has gone back {times} times within {self._settings.memory_steps} steps "
                f"(spike.rewind.lr_factors has {len(self._settings.lr_factors)}): neither other batches nor a lower "
                "learning rate for a while have helped. Go back further and learn more slowly with "
                f"resume={self._run_dir / CHECKPOINTS}/step_... optim.lr=... allow_change=[optim.lr]"
            )
        return True

    def _reason(self, record: Record, counts: bool) -> str:
        """Return what sends the run back, in words, or nothing."""
        settings = self._settings
        assert settings is not None
        if counts:
            self._skips.append([record.step, record.data_step])
        self._skips = [skip for skip in self._skips if skip[0] > record.step - settings.within_steps]
        if counts and len(self._skips) >= settings.skips:
            return f"{len(self._skips)} of the last {settings.within_steps} steps were skipped"
        return "" if record.skipped else self._rise.add(record.step, record.data_step, record.loss)

    def _compare(self, record: Record) -> None:
        """Hold a replayed step against the same step before; where a sum may come out otherwise, nothing is said."""
        replay, was = self._history.replay, self._expected.get(str(record.step))
        assert self._settings is not None
        if replay is None or was is None or not self._compares:
            return
        found = [spelled(record.loss), spelled(record.grad_norm), record.lr, record.data_step]
        if found == was:
            return
        if found[2:] != was[2:]:  # another rate, asked for meanwhile, or other batches: no machine's fault
            self._expected = {}
            return
        line = {"event": FAULT, "number": replay["number"], "at_step": record.step, "at_data_step": record.data_step}
        told = {"loss": found[0], "loss_before": was[0], "grad_norm": found[1], "grad_norm_before": was[1]}
        self._say(line | told)
        faults = self._history.recent_faults(record.step, self._settings.memory_steps)
        if faults >= MAX_FAULTS:
            self.stopped = (
                f"done again with the same weights and data, it gave other bits (loss {was[0]}, then {found[0]}), as "
                f"{faults - 1} before it did: this machine is faulty. The same line on another one goes on from "
                "the newest checkpoint"
            )

    @property
    def _compares(self) -> bool:
        """Whether the same step done again has the same bits here, as long as the machine is sound."""
        return self._on_cpu or torch.are_deterministic_algorithms_enabled()

    def way_back(self) -> WayBack:
        """Return where to look for a checkpoint."""
        assert self._trouble is not None and self._settings is not None
        return WayBack(self._trouble.onset_step, self._settings.before_steps)

    def stay(self) -> None:
        """Go on where there is trouble and no checkpoint to go back to; it is not said again before it is a new one."""
        assert self._trouble is not None
        self._say({"event": NO_WAY, "at_step": self._trouble.at_step, "reason": self._trouble.reason})
        self._rise.forget()
        self._trouble, self._skips = None, []

    def leave(self, saved: SavedAt) -> str:
        """Write down that the run goes back, before it does; return it in words."""
        assert self._trouble is not None and self._settings is not None
        pending = self._history.pending
        if pending is not None:  # decided by a run that was killed before it was done
            if pending["to_step"] == saved.step:
                return _told(pending)
            self._trouble = Trouble.of(pending)
        # trouble in the replay is the same trouble, at that step or, where sums come out otherwise, near it
        is_rewind = not self._settings.replay or self._history.replay is not None
        is_rewind |= pending is not None and pending["event"] == REWIND
        number = self._history.count + (pending is None)
        line = {"event": REWIND if is_rewind else REPLAY, "number": number, "to_step": saved.step}
        line |= self._trouble.line()
        if is_rewind:
            line |= self._passing_over(self._trouble, saved.data_step)
        else:
            line["compared"] = self._compares
            if self._mesh.is_main:
                content = {"identity": self._identity, "steps": self._done_since(saved.step)}
                write_json(self._run_dir / REPLAYED_STEPS, content)
        self._say(line)
        return _told(line)

    def _passing_over(self, trouble: Trouble, data_step: int) -> dict[str, Any]:
        assert self._settings is not None
        first, end = self._settings.window(trouble)
        first = max(first, data_step)  # the batches before it are in the weights that the run goes back to
        times = self._history.recent(trouble.at_step, self._settings.memory_steps)
        factor = self._settings.lr_factors[min(times, len(self._settings.lr_factors) - 1)]
        window = {"first_data_step": first, "end_data_step": end} | samples_of(self._plan, first, end)
        return window | {"lr_factor": factor, "lr_cut_steps": self._settings.lr_cut_steps}

    def _done_since(self, step: int) -> dict[str, list[float | str]]:
        """Return loss and gradient norm of the steps that are about to be done again, as their lines have them.

        No step where the run has gone on with other settings since: done again with those, none has the bits of then.
        """
        assert self._trouble is not None
        if any(line.get("event") == CHANGE and line["step"] > step for line in read_lines(self._journal.path)):
            return {}
        lines = read_lines(self._run_dir / METRICS)
        wanted = (line for line in lines if step < line.get("step", 0) <= self._trouble.at_step)
        return {str(line["step"]): [line["loss"], line["grad_norm"], line["lr"], line["data_step"]] for line in wanted}

    def arrive(self) -> None:
        """Write down that the run has gone back."""
        pending = self._history.pending
        assert pending is not None
        self._say({"event": GOING[pending["event"]], "number": pending["number"]})
        self._trouble = None
        self._expected = {}
        if pending["event"] == REPLAY:
            self._expected = self._mesh.broadcast_json(self._recorded() if self._mesh.is_main else None)
        elif self._mesh.is_main:
            (self._run_dir / REPLAYED_STEPS).unlink(missing_ok=True)

    def _recorded(self) -> dict[str, list[float | str]]:
        """Return the steps that a replay is held against.

        None where sums are taken in another order than then, or where a start since it was decided goes on with other
        settings or on another machine.
        """
        path = self._run_dir / REPLAYED_STEPS
        content = read_json(path) if path.is_file() else {"identity": None, "steps": {}}
        steps: dict[str, list[float | str]] = content["steps"]
        events = [line.get("event") for line in read_lines(self._journal.path)]
        since = events[::-1].index(REPLAY) if REPLAY in events else 0
        changed = CHANGE in events[len(events) - since :]
        return steps if content["identity"] == self._identity and not changed else {}

    def _say(self, line: dict[str, Any]) -> None:
        self._take(line)
        if self._mesh.is_main and line["event"] in TOLD:
            print(f"step {line['at_step']}: {TOLD[line['event']]}", file=sys.stderr, flush=True)
        if self._mesh.is_main:
            self._journal.append(line, durable=True)

    def facts(self) -> dict[str, Any]:
        """Return the state that goes back with the run, as JSON values."""
        return {"skips": [list(skip) for skip in self._skips], "rise": self._rise.facts()}

    def restore(self, facts: dict[str, Any]) -> None:
        """Take back what `facts` gave."""
        self._skips = [[int(step), int(data_step)] for step, data_step in facts["skips"]]
        self._rise.restore(facts["rise"])


def _told(line: dict[str, Any]) -> str:
    why = f"step {line['at_step']}: {line['reason']}"
    if line["event"] == REPLAY:
        told = BITS_COMPARED if line.get("compared", True) else BITS_NOT_COMPARED
        return f"{why}: back to step {line['to_step']}, to do the same steps again: {told}"
    slower = f", learning rate x {line['lr_factor']:.3g} for a while" if line["lr_factor"] < 1 else ""
    return (
        f"{why}: back to step {line['to_step']}; batches {line['first_data_step']} to "
        f"{line['end_data_step'] - 1} (samples {line['first_sample']} to {line['last_sample']}) are passed over{slower}"
    )
