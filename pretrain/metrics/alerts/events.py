"""What is worth an alert, in sentences: from a line of journal.jsonl, a report in hang.txt, a status.json."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from foundation.text import one_line
from pretrain import journal
from pretrain.metrics.diverging import told
from pretrain.run_files import (
    ATTEMPTS,
    BLACKBOX,
    CRASH_LOOP,
    FINAL,
    HANG,
    JOURNAL,
    METRICS,
    STATUS,
    WATCH,
    box_name,
    hang_heads,
)

Kind = Literal["start", "spike", "rewind", "stall", "dying_layer", "stop", "finish"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TROUBLE: tuple[Kind, ...] = ("spike", "rewind", "stall", "dying_layer", "stop")
MAX_REASON = 800  # characters
KILLED = "killed"  # how a run ended that says nothing of it
Line = dict[str, Any]

_GOES_ON = "the run goes on"
_UNTOUCHED = "the step has changed no weight"  # what came after it is not known: the message may be an hour late
_NONE_PASSED = "nothing is passed over, and the run goes on"
_AGAIN = "its launcher may start it again; it goes on from the newest checkpoint then"
_DOWN = "it is down; the same line goes on from the newest checkpoint, if there is one"
_MEND = "it is down, and another start would end the same way until that is mended"
_NO_WORD = "kill -9, out of memory, or another rank took it with it"
_IDENTITY = ("event", "number", "step", "at_step", "data_step", "at_data_step")
_HANG_FATE = re.compile(r"; (?=(?:it is|they are) )")
_HANG_STEP = re.compile(r": step (\d+)")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        kind: what people choose alerts by. title: a few words.
        step: at which; None where nobody knows.
        what: happened, a sentence.
        then: what the run does now.
        look: files to look at and lines to type.
    """

    kind: Kind
    title: str
    step: int | None
    what: str
    then: str
    look: tuple[str, ...]


def event_of(line: Line, run_dir: Path) -> Event | None:
    """Return what a line of the journal tells; None where it is nothing that anybody is to be woken for."""
    make = _OF_JOURNAL.get(str(line.get("event")))
    try:
        return None if make is None else make(line, run_dir)
    except (LookupError, TypeError, ValueError):
        return None  # of a version that tells it in other words


def identity_of(line: Line) -> str:
    """Return what tells a line of the journal from others, the same for one of a step that is done again."""
    keys = ("event", "layer") if line.get("event") == journal.DYING_LAYER else _IDENTITY
    return " ".join(f"{key}={line[key]}" for key in keys if key in line)


def stalls_in(text: str, run_dir: Path) -> list[Event]:
    """Return the reports that a piece of hang.txt holds, whole lines of it."""
    found = []
    for said in hang_heads(text):
        step = _HANG_STEP.search(said)
        what, then = (*_HANG_FATE.split(said, 1), "")[:2]
        at = None if step is None else int(step[1])
        found.append(Event("stall", "no sign of life", at, _short(what), _short(then), (str(run_dir / HANG),)))
    return found


def begun(step: int, run_dir: Path) -> Event:
    """Return the event of a start, which goes on after `step` steps."""
    title, what = ("it goes on", f"the run goes on from step {step}") if step else ("begun", "the run begins")
    return Event("start", title, step, what, "it trains, and alerts arrive", (str(run_dir),))


def may_be_started_again(status: Line) -> bool:
    """Return whether a launcher's next start of a run that ended so could get further.

    Args:
        status: what status.json says; of a run that was killed its status is KILLED.
    """
    return status.get("status") in ("failed", KILLED) and not status.keys() & {CRASH_LOOP, FINAL}


def ended(status: Line, last_step: int | None, restarts: bool, run_dir: Path, stall: Event | None = None) -> Event:
    """Return the event of an end.

    Args:
        status: what status.json says; of a run that was killed its status is KILLED.
        last_step: of metrics.jsonl, for a status that tells none.
        restarts: whether a launcher is there that starts it again where that may help.
        stall: the last one that the watchdog told of in this start: why a run was killed, if it came no further.
    """
    how, reason = str(status.get("status")), str(status.get("reason") or "")
    step = status["step"] if isinstance(status.get("step"), int) else last_step
    at = "" if step is None else f" {'after' if how in ('failed', KILLED) else 'at'} step {step}"
    what = f"{how}{at}: {_short(reason)}" if reason else f"{how}{at}"
    look = (str(run_dir / STATUS),)
    if how == "finished":
        return Event("finish", how, step, what, "nothing is left to do", look)
    if status.get(CRASH_LOOP):
        return Event("stop", "given up", step, what, "nobody starts it again", look)
    if how == KILLED:
        hung = stall is not None and (stall.step is None or step is None or step <= stall.step)
        why = f"{stall.what}; {stall.then}" if stall is not None and hung else _NO_WORD
        what, look = f"the run ended without a word{at}: {why}", (str(run_dir),)
    if how in ("failed", KILLED):
        again = _AGAIN if restarts else _DOWN
        then = again if may_be_started_again(status) else _MEND
        return Event("stop", how, step, what, then, look)
    return Event("stop", how, step, what, "it is down; the reason says how it goes on", look)


def not_trained_again(what: str, run_dir: Path) -> Event:
    """Return the event of a run that its launcher might have started again, and that doesn't train; `what` says why."""
    return Event("stop", "not started again", None, what, _DOWN, (str(run_dir / ATTEMPTS),))


def _skip(line: Line, run_dir: Path) -> Event:
    step = int(line["step"])
    what = (
        f"step {step} was skipped: {_short(line['reason'])} (loss {_number(line['loss'])}, median "
        f"{_number(line['median_loss'])}; gradient norm {_number(line['grad_norm'])}, median "
        f"{_number(line['median_grad_norm'])})"
    )
    return Event("spike", "a step was skipped", step, what, _UNTOUCHED, (_box(run_dir, step, int(line["data_step"])),))


def _replay(line: Line, run_dir: Path) -> Event:
    told = journal.BITS_COMPARED if line.get("compared", True) else journal.BITS_NOT_COMPARED
    return _back(line, run_dir, f"the same steps are done again: {told}")


def _rewind(line: Line, run_dir: Path) -> Event:
    factor = float(line["lr_factor"])
    slower = f", at {factor:.3g} of the learning rate for a while" if factor < 1 else ""
    then = f"batches {line['first_data_step']} to {int(line['end_data_step']) - 1} are passed over{slower}"
    return _back(line, run_dir, then)


def _back(line: Line, run_dir: Path, then: str) -> Event:
    step, reason = int(line["at_step"]), _short(line["reason"])
    line_to_type = f"python launch/replay.py run={shlex.quote(str(run_dir))} step={step} dropped=1"
    look = (_box(run_dir, step, int(line["at_data_step"])), line_to_type)
    return Event("rewind", "it goes back", step, f"step {step}: back to step {line['to_step']}: {reason}", then, look)


def _fault(line: Line, run_dir: Path) -> Event:
    step = int(line["at_step"])
    what = (
        f"step {step}, done again with the same weights and data, gave other bits (loss "
        f"{_number(line['loss_before'])}, now {_number(line['loss'])}): it is the machine"
    )
    return Event("rewind", "a faulty machine", step, what, _NONE_PASSED, (str(run_dir / JOURNAL),))


def _not_again(line: Line, run_dir: Path) -> Event:
    step = int(line["at_step"])
    what = f"step {step}: {journal.TOLD[journal.NOT_AGAIN]}"
    return Event("rewind", "not the data", step, what, _GOES_ON, (str(run_dir / JOURNAL),))


def _no_way(line: Line, run_dir: Path) -> Event:
    step = int(line["at_step"])
    what = f"step {step}: {_short(line['reason'])}, and {journal.TOLD[journal.NO_WAY]}"
    return Event("rewind", "no way back", step, what, _GOES_ON, (str(run_dir / JOURNAL),))


def _dying(line: Line, run_dir: Path) -> Event:
    step = int(line["step"])
    what = (
        f"step {step}: {_short(line['layer'])} has learnt nothing for {line['looks']} looks (gradient norm "
        f"{_number(line['grad_norm'])}, of the whole model {_number(line['whole_grad_norm'])})"
    )
    return Event("dying_layer", "a layer learns nothing", step, what, _GOES_ON, (str(run_dir / WATCH),))


def _diverging(line: Line, run_dir: Path) -> Event:
    return Event("spike", "the run diverges", int(line["step"]), told(line), _GOES_ON, (str(run_dir / METRICS),))


_OF_JOURNAL: dict[str, Callable[[Line, Path], Event]] = {
    journal.SKIP: _skip,
    journal.REPLAY: _replay,
    journal.REWIND: _rewind,
    journal.FAULT: _fault,
    journal.NOT_AGAIN: _not_again,
    journal.NO_WAY: _no_way,
    journal.DYING_LAYER: _dying,
    journal.DIVERGING: _diverging,
}


def _box(run_dir: Path, step: int, data_step: int) -> str:
    """Return where what was in a skipped step is kept, whatever the run does with the step later."""
    return str(run_dir / BLACKBOX / box_name(step, data_step))


def _short(text: object) -> str:
    return one_line(str(text), MAX_REASON)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else _short(value)
