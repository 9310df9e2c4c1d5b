"""The guard: judges each step on the device before its update, and on the host, later, whether the run may go on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foundation.errors import require
from pretrain.journal import NEW_LEVEL, SKIP, STOP
from pretrain.json_lines import JsonLines
from pretrain.mesh import Mesh
from pretrain.pieces import NONE, choose
from pretrain.plan import Plan
from pretrain.run_files import JOURNAL
from pretrain.seats import Action, Guard
from pretrain.stability.advice import advise
from pretrain.stability.budget import SkipBudget
from pretrain.stability.escalation import Escalation
from pretrain.stability.lr_cuts import lowest
from pretrain.stability.passed_over import samples_of
from pretrain.stability.rewinds import Rewinds
from pretrain.stability.window import PlainWindow, Window
from pretrain.types import Record, SavedAt, WayBack

# Least spreads: a window of nearly equal values must not make a spike of the next normal one.
MIN_LOSS_SPREAD_FRAC = 0.005  # of the median loss
MIN_LOG_NORM_SPREAD = 0.05  # 5 % of the norm
MIN_NORM = 1e-20  # under the logarithm; a batch without targets has gradient norm 0, which is no spike
BLOW_UP_RATIO = 1000.0  # to the median norm; runs that went well, and learnt far too fast, had up to 40
NORM = "gradient norm"
SPIKE, BLOW_UP = 1.0, 2.0  # in the evidence


class NoGuard(Guard):
    """Lets every step through.

    With it a single NaN reaches all weights and stays there; checkpoints saved from then on are marked as unhealthy and
    never resumed from. Only for comparisons and for runs that are watched.
    """

    def begin(self) -> bool:
        return False

    def judge(self, loss: Tensor, grad_norm: Tensor) -> Tensor:
        return torch.zeros(1, device=loss.device)

    def decide(self, record: Record) -> Action:
        return Action.CONTINUE

    def way_back(self) -> WayBack:
        raise AssertionError("it never asks for one")

    def leave(self, saved: SavedAt) -> str:
        raise AssertionError("it never goes back")

    def arrive(self) -> None:
        raise AssertionError("it never goes back")

    def stay(self) -> Action:
        raise AssertionError("it never goes back")

    def batch_from(self, data_step: int) -> int:
        return data_step

    def lr_factor(self, step: int) -> float:
        return 1.0

    def diagnosis(self) -> str:
        return ""

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def facts(self) -> dict[str, Any]:
        return {}

    def restore(self, facts: dict[str, Any]) -> None:
        pass


class SkipGuard(Guard):
    """Skips a step whose loss or gradient norm is not finite or stands out from the last accepted ones.

    The rule. A value stands out when it is more than `threshold` robust standard deviations, and more than a least
    rise, above the median of the accepted ones. A gradient norm, which trainer.max_grad_norm bounds anyway, must also
    be several times the largest of them: norms of small batches have long tails, and those that grow do so by steps.
    - Not finite, or the loss stands out, or the norm is a thousand times the median, which no training comes to in one
      step: skipped. Too many of them stop the run.
    - Only the gradient norm stands out: skipped, too. But a skip leaves the weights, so where the gradients have grown
      the next norm is as high, and kept out of the window it would be skipped for ever. So these skips are counted, an
      accepted step takes one off, and at `max_skips_in_row` they are no spike, they are a new level: the next is let
      through (trainer.max_grad_norm bounds it) and the window of norms begins anew. They never stop the run.

    Robust centre and spread (median and MAD) of accepted values only: a spike neither moves the centre nor widens the
    spread that the next one is judged by, and a NaN never enters. On simulated runs a mean-and-std rule whose window
    takes outliers in catches one spike of six and answers one NaN with 129 skips.

    Args:
        mesh: rank 0 writes the journal.
        plan: sequences per step.
        device: of the loss.
        run_dir: the journal's folder.
        threshold: robust standard deviations above the median from which on a value is a spike.
        min_rise_nats: a loss spike is also this far above the median, in nats per token.
        min_norm_ratio: a gradient spike is also this many times the median norm.
        min_norm_jump: and this many times the largest norm of the window.
        window_steps: accepted steps that are looked back at.
        min_accepted_steps: values in a window before spikes are judged by it; what is not finite is always skipped.
        max_skips_in_row: one more bad step in a row stops the run; gradient norms alone are a new level then.
        budget_skips: bad steps allowed within budget_steps, gradient norms alone not counted; one more stops the run.
        budget_steps: length of that stretch.
        rewind: when the run goes back to a healthy checkpoint instead; None: never.
        skip_windows: journal.jsonl of another run of these data and this seed: what it skipped and what it passed over
            is passed over here; read once.
        plain_pieces: of which `window` runs plainly.
    Raises:
        SettingError: a setting that can't work.
    Source: reliability of published rules (PaLM, OLMo 2, ZClip, Megatron-LM), compared on injected faults.
    """

    pieces = frozenset({"window"})

    def __init__(
        self,
        mesh: Mesh,
        plan: Plan,
        device: torch.device,
        run_dir: Path,
        threshold: float = 6.0,
        min_rise_nats: float = 0.1,
        min_norm_ratio: float = 20.0,
        min_norm_jump: float = 3.0,
        window_steps: int = 128,
        min_accepted_steps: int = 64,
        max_skips_in_row: int = 5,
        budget_skips: int = 10,
        budget_steps: int = 10_000,
        rewind: Rewinds | None = None,
        skip_windows: str | None = None,
        plain_pieces: frozenset[str] = NONE,
    ) -> None:
        settings = {"threshold": threshold, "min_rise_nats": min_rise_nats, "window_steps": window_steps}
        settings |= {"min_accepted_steps": min_accepted_steps, "max_skips_in_row": max_skips_in_row}
        settings |= {"budget_skips": budget_skips, "budget_steps": budget_steps}
        for key, value in settings.items():
            require(value > 0, key, value, "a number above 0; spike=none skips nothing")
        require(min_norm_ratio > 1, "min_norm_ratio", min_norm_ratio, "a number above 1; 20 is the default")
        require(min_norm_jump >= 1, "min_norm_jump", min_norm_jump, "a number from 1 on; 3 is the default")
        allowed = f"a number up to window_steps, which is {window_steps}"
        require(min_accepted_steps <= window_steps, "min_accepted_steps", min_accepted_steps, allowed)
        self._threshold, self._min_accepted = threshold, min_accepted_steps
        self._max_skips_in_row = max_skips_in_row
        self._is_main, self._plan = mesh.is_main, plan
        self._norm_skips = torch.zeros((), dtype=torch.int64, device=device)
        self._window = choose("window", plain_pieces, Window, PlainWindow)(2, window_steps, device)
        self._least_rise_2 = torch.tensor([min_rise_nats, math.log(min_norm_ratio)], device=device)
        self._least_jump_2 = torch.tensor([-math.inf, math.log(min_norm_jump)], device=device)
        self._least_spread_2 = torch.tensor([0.0, MIN_LOG_NORM_SPREAD], device=device)
        self._least_spread_frac_2 = torch.tensor([MIN_LOSS_SPREAD_FRAC, 0.0], device=device)
        self._is_norm_2 = torch.tensor([False, True], device=device)
        self._budget = SkipBudget(max_skips_in_row, budget_skips, budget_steps)
        self._run_dir, self._journal = run_dir, JsonLines(run_dir / JOURNAL)
        self._escalation = Escalation(rewind, mesh, plan, device, run_dir, skip_windows)
        self._goes_back = rewind is not None
        self._first, self._diagnosis, self._exceeded = True, "", ""
        self._last: Record | None = None

    def begin(self) -> bool:
        return self._escalation.begin()

    @torch.no_grad()
    def judge(self, loss: Tensor, grad_norm: Tensor) -> Tensor:
        observed_2 = torch.stack([loss, grad_norm.clamp(min=MIN_NORM).log()]).float()
        finite = torch.isfinite(observed_2).all()
        center_2, spread_2, highest_2 = self._window.look()
        rise_2 = observed_2 - center_2
        least_2 = self._least_spread_2 + self._least_spread_frac_2 * center_2.abs()
        z_2 = rise_2 / torch.maximum(spread_2, least_2)
        armed_2 = self._window.count_K >= self._min_accepted
        spike_2 = (z_2 > self._threshold) & (rise_2 > self._least_rise_2) & armed_2  # NaN compares as no spike
        spike_2 = spike_2 & (observed_2 - highest_2 > self._least_jump_2)
        blow_up = spike_2[1] & (rise_2[1] > math.log(BLOW_UP_RATIO))
        bad = ~finite | spike_2[0] | blow_up
        norm_only = spike_2[1] & ~bad
        new_level = norm_only & (self._norm_skips >= self._max_skips_in_row)
        bad = bad | (norm_only & ~new_level)
        self._window.begin_anew(self._is_norm_2 & new_level)
        self._window.add(observed_2, ~bad)
        # a step skipped for another reason leaves it as it is: it left the weights as they are, too
        counted = torch.where(bad, self._norm_skips + norm_only, (self._norm_skips - 1).clamp(min=0))
        self._norm_skips.copy_(counted.masked_fill(new_level, 0))
        kinds_2 = spike_2 * SPIKE + (self._is_norm_2 & blow_up) * (BLOW_UP - SPIKE)
        return torch.cat([bad.float()[None], kinds_2, center_2, z_2])

    def decide(self, record: Record) -> Action:
        if self._first and self._is_main:
            self._journal.drop_after(record.step - 1)  # these steps are about to be done again
        self._first = False
        reasons = _reasons(record)
        if reasons and self._is_main:
            self._journal.append(self._line(record, reasons), durable=True)
        norm_only = record.skipped and reasons == [f"{NORM} spike"]
        self._last = record
        if not norm_only:  # such a row ends by itself: judge lets a new level through
            self._exceeded = self._budget.count(record.step, record.skipped)
        goes_back = self._escalation.see(record, counts=record.skipped and not norm_only)
        if self._escalation.stopped:
            return self._stop(f"step {record.step}: {self._escalation.stopped}")
        if goes_back and not self._diagnosis:
            return Action.REWIND
        return Action.CONTINUE if norm_only else self._within_budget()

    def stay(self) -> Action:
        self._escalation.stay()
        return self._within_budget()

    def _within_budget(self) -> Action:
        if not self._exceeded:  # before its first step a run has none, and may be here: it can't go back as decided
            return Action.CONTINUE
        assert self._last is not None
        return self._stop(self._explain(self._last, self._exceeded))

    def _stop(self, diagnosis: str) -> Action:
        assert self._last is not None
        if not self._diagnosis:  # the loop may still drain what was judged meanwhile
            self._diagnosis = diagnosis
            line = {"event": STOP, "step": self._last.step, "reason": self._diagnosis}
            if self._is_main:
                self._journal.append(line, durable=True)
        return Action.STOP

    def way_back(self) -> WayBack:
        return self._escalation.way_back()

    def leave(self, saved: SavedAt) -> str:
        return self._escalation.leave(saved)

    def arrive(self) -> None:
        self._escalation.arrive()

    def batch_from(self, data_step: int) -> int:
        return self._escalation.passed_over.batch_from(data_step)

    def lr_factor(self, step: int) -> float:
        return lowest(self._escalation.cuts, step)

    def _line(self, record: Record, reasons: list[str]) -> dict[str, Any]:
        _, _, median_loss, median_log_norm, loss_z, norm_z = record.evidence
        event = SKIP if record.skipped else NEW_LEVEL
        line = {"event": event, "step": record.step, "loss": record.loss, "grad_norm": record.grad_norm}
        line |= {"reason": ", ".join(reasons), "loss_z": loss_z, "grad_norm_z": norm_z}
        line |= {"median_loss": median_loss, "median_grad_norm": math.exp(median_log_norm)}
        data_step = record.data_step
        return line | {"data_step": data_step} | samples_of(self._plan, data_step, data_step + 1)

    def _explain(self, record: Record, exceeded: str) -> str:
        _, norm_kind, median_loss, *_ = record.evidence
        rise_nats = math.inf if norm_kind == BLOW_UP else record.loss - median_loss
        return (
            f"{exceeded}, up to step {record.step}; none of these steps touched the weights (loss now "
            f"{record.loss:.4g}, gradient norm {record.grad_norm:.4g}). "
            + advise(record, rise_nats, self._run_dir, self._budget.last_update, self._goes_back)
        )

    def diagnosis(self) -> str:
        return self._diagnosis

    def tensors(self) -> dict[str, Tensor]:
        return {"values": self._window.values_KW, "count": self._window.count_K, "norm_skips": self._norm_skips}

    def facts(self) -> dict[str, Any]:
        return self._budget.facts() | {"escalation": self._escalation.facts()}

    def restore(self, facts: dict[str, Any]) -> None:
        self._budget.restore(facts)
        if "escalation" in facts:  # not in what a version saved that never went back
            self._escalation.restore(facts["escalation"])
        self._first, self._diagnosis, self._exceeded = True, "", ""


def _reasons(record: Record) -> list[str]:
    """Return what is wrong with a step; of one that was let through, what made it a new level."""
    loss_kind, norm_kind, *_ = record.evidence
    loss = _reason("loss", record.loss, loss_kind)
    return [reason for reason in (loss, _reason(NORM, record.grad_norm, norm_kind)) if reason]


def _reason(name: str, value: float, kind: float) -> str:
    if not math.isfinite(value):
        return f"{name} not finite"
    return {SPIKE: f"{name} spike", BLOW_UP: f"{name} blow-up"}.get(kind, "")
