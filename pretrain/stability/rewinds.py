"""When a run goes back to a healthy checkpoint, over which batches it passes then, and how often it may.

Skipping is the answer to one bad step. Several of them, or a loss that rises for long, mean that the weights went wrong
before: the run goes back to before that. First it does the same steps again: where their bits differ, the machine is
faulty and not the data. Where they are the same, it goes back once more and passes over the batches around the trouble.

What is decided stands in journal.jsonl, durable, before anything is done, and in lines without `step`: they belong to
the folder, for what they tell must not be rewound itself.

Source: PaLM, arXiv:2204.02311, section 5.1 (about 100 steps back, 200 to 500 batches passed over, no spike again: it
takes these weights and these data); OPT-175B, arXiv:2205.01068 (a lower learning rate); Megatron-LM's rerun state
machine (attribution).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from foundation.errors import require
from pretrain.journal import FAULT, GOING, NO_WAY, NOT_AGAIN, REPLAYING, REWIND


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a run goes back.

    Attributes:
        at_step: of the record that it was seen by; at_data_step: the batch that step took.
        onset_step: the first step that was bad; onset_data_step: its batch.
        reason: in words.
    """

    at_step: int
    at_data_step: int
    onset_step: int
    onset_data_step: int
    reason: str

    def line(self) -> dict[str, Any]:
        """Return it as fields of a journal's line."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def of(cls, line: dict[str, Any]) -> Trouble:
        """Return what `line` gave."""
        return cls(**{each.name: line[each.name] for each in fields(cls)})


class Rewinds:
    """The settings: `spike.rewind` of a config.

    Args:
        skips: so many skips within `within_steps` steps send the run back, those of the gradient norm alone aside,
            unless it is a thousand times the median.
        within_steps: length of that stretch.
        rise_nats: a median loss so far above its lowest of late sends the run back; None never does.
        rise_steps: accepted losses that a median is of.
        before_steps: how far before the first bad step the checkpoint shall be, and the passed-over batches begin.
        after_steps: how many batches after the last bad one are passed over.
        max_batches: passed over at once; the last of them are.
        lr_factors: what the learning rate is multiplied by after the first time, the second, ...; one time more than
            there are factors stops the run.
        lr_cut_steps: until it is the schedule's again, along a cosine.
        memory_steps: steps after which an earlier time counts no more, and a low median neither.
        replay: do the same steps again before data are blamed.
    Raises:
        SettingError: a setting that can't work.
    """

    def __init__(
        self,
        skips: int = 3,
        within_steps: int = 16,
        rise_nats: float | None = 0.3,
        rise_steps: int = 32,
        before_steps: int = 100,
        after_steps: int = 100,
        max_batches: int = 500,
        lr_factors: list[float] | None = None,
        lr_cut_steps: int = 1000,
        memory_steps: int = 2000,
        replay: bool = True,
    ) -> None:
        for key, value in {"skips": skips, "within_steps": within_steps, "max_batches": max_batches}.items():
            require(value >= 1, key, value, "1 or more; spike=skip never goes back")
        for key, value in {
            "rise_steps": rise_steps,
            "lr_cut_steps": lr_cut_steps,
            "memory_steps": memory_steps,
        }.items():
            require(value >= 1, key, value, "1 or more")
        for key, value in {"before_steps": before_steps, "after_steps": after_steps}.items():
            require(value >= 0, key, value, "0 or more")
        require(rise_nats is None or rise_nats > 0, "rise_nats", rise_nats, "a number above 0, or null for never")
        allowed = f"a number up to within_steps, which is {within_steps}"
        require(skips <= within_steps, "skips", skips, allowed)
        factors = [1.0, 0.9, 2 / 3] if lr_factors is None else lr_factors
        for place, factor in enumerate(factors):
            require(0 < factor <= 1, f"lr_factors[{place}]", factor, "a number above 0, up to 1, which leaves the rate")
        self.skips, self.within_steps = skips, within_steps
        self.rise_nats, self.rise_steps = rise_nats, rise_steps
        self.before_steps, self.after_steps, self.max_batches = before_steps, after_steps, max_batches
        self.lr_factors, self.lr_cut_steps, self.memory_steps = factors, lr_cut_steps, memory_steps
        self.replay = replay

    def window(self, trouble: Trouble) -> tuple[int, int]:
        """Return the batches to pass over, `[first, end)`."""
        end = trouble.at_data_step + 1 + self.after_steps
        return max(0, trouble.onset_data_step - self.before_steps, end - self.max_batches), end


@dataclass(slots=True)
class History:
    """What a run's journal tells of its goings-back; the same on every rank.

    Attributes:
        rewinds: the lines of those that were decided.
        pending: the line of one that was not carried out before the run ended.
        replay: the line of a replay that has neither ended nor led on.
        count: goings-back of either kind. faults: steps of those that came out with other bits.
    """

    rewinds: list[dict[str, Any]] = field(default_factory=list)
    pending: dict[str, Any] | None = None
    replay: dict[str, Any] | None = None
    count: int = 0
    faults: list[int] = field(default_factory=list)

    def add(self, line: dict[str, Any]) -> None:
        """Take one line, in the order they were written."""
        event = line.get("event")
        if event in GOING:
            self.count, self.pending, self.replay = int(line["number"]), line, None
            if event == REWIND:  # one that was decided anew after a kill takes the place of the first
                self.rewinds = [other for other in self.rewinds if other["number"] != line["number"]] + [line]
        elif event in GOING.values() and self.pending is not None:
            self.replay = self.pending if event == REPLAYING else None
            self.pending = None
        elif event in (FAULT, NOT_AGAIN, NO_WAY):
            self.pending = self.replay = None
            if event == FAULT:
                self.faults.append(int(line["at_step"]))

    def recent(self, step: int, memory_steps: int) -> int:
        """Return how many rewinds began within the last `memory_steps` steps, or later on a timeline that was left."""
        return sum(line["at_step"] > step - memory_steps for line in self.rewinds)

    def recent_faults(self, step: int, memory_steps: int) -> int:
        """Return the same of the steps that came out with other bits."""
        return sum(at_step > step - memory_steps for at_step in self.faults)
