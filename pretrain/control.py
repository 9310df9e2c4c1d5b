"""A file by which a live run is asked to save, evaluate, stop or learn more slowly: `echo save > runs/x/control`."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foundation.text import one_line
from pretrain.journal import ASKED, NO_REQUEST
from pretrain.json_lines import JsonLines, read_lines
from pretrain.mesh import Mesh
from pretrain.run_files import CONTROL, JOURNAL
from pretrain.stability.lr_cuts import LrCut, lowest

LOOK_EVERY_S = 1.0  # a look costs a system call, on a network's disk a millisecond
SAVE, EVALUATE, STOP, LR = "save", "evaluate", "stop", "lr"
DEFAULT_LR_STEPS, MAX_STEPS = 1000, 10**9
MAX_BYTES = 1 << 12
FORMS = "save, evaluate, stop, or lr <factor> [<steps>] with a factor above 0 and below 1, such as lr 0.5 1000"


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for. Attributes: factor, num_steps: of a cut of the learning rate."""

    what: str
    factor: float = 1.0
    num_steps: int = 0


class Control:
    """Looks for the file on rank 0, and holds what all ranks have agreed to do.

    Rank 0's look rides in the step's own reduction, so all ranks learn of it at the same step, two later; only then is
    the request itself sent to them.

    Args:
        run_dir: of the run. is_main: whether this is rank 0.
    """

    def __init__(self, run_dir: Path, is_main: bool) -> None:
        self._path, self._is_main = run_dir / CONTROL, is_main
        self._taken = self._path.with_name(f".{CONTROL}.taken")  # until its requests are in the journal
        self._journal = JsonLines(run_dir / JOURNAL)
        self._looked_s, self._made_s = -math.inf, time.time()
        self._found: list[Request] = []
        self._agreed: set[str] = set()
        self._cuts: list[LrCut] = []
        self._error = ""  # of the last look: one that stays is said once

    def begin(self, mesh: Mesh) -> None:
        """Take up the cuts of the learning rate that earlier starts were asked for; called on every rank.

        What an earlier start was asked for and did not do is left out, but for one that a launcher has started again: a
        forgotten `stop` would end a run that somebody starts a week later.
        """
        if mesh.is_main and not mesh.restarts:
            self._leave_out_old()
        asked = (line for line in read_lines(self._journal.path) if line.get("event") == ASKED and line["what"] == LR)
        cuts = [[line["at_step"], line["factor"], line["num_steps"]] for line in asked] if mesh.is_main else None
        self._cuts = [LrCut(*cut) for cut in mesh.broadcast_json(cuts)]

    def _leave_out_old(self) -> None:
        for path in (self._taken, self._path):
            with contextlib.suppress(OSError):  # most often: there is none
                if path.stat().st_mtime < self._made_s:
                    text = one_line(path.read_bytes()[:MAX_BYTES].decode(errors="replace").strip(), 80)
                    path.unlink()
                    _say(f"{self._path}: {text!r} was written before this start, and is left out; write it again")

    def is_asked(self) -> bool:
        """Return on rank 0 whether there is a request; on others False."""
        if self._is_main and not self._found and time.monotonic() - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = time.monotonic()
            self._found = self._read()
        return bool(self._found)

    def _read(self) -> list[Request]:
        try:
            if not self._taken.is_file():  # left by a start that was killed before it was in the journal
                if not self._path.is_file() or not self._path.stat().st_size:
                    return []  # a shell has opened it and not written yet
                self._path.replace(self._taken)  # what is written meanwhile is another file, and found by the next look
            text = self._taken.read_bytes()[:MAX_BYTES].decode(errors="replace")
        except OSError as error:
            if str(error) != self._error:
                _say(f"{self._path}: can't be taken ({error})")
            self._error = str(error)
            return []
        self._error = ""
        found, others = [], []
        for line in text.splitlines():
            request = parse(line)
            if request is not None:
                found.append(request)
            elif line.strip():
                others.append(one_line(line, 80))
                _say(f"{self._path}: {others[-1]!r} is no request; write {FORMS}")
        if others:  # the file is gone now: whoever wrote it finds here why nothing happened
            self._write({"event": NO_REQUEST, "at_s": time.time(), "lines": others})
        if not found:
            self._taken.unlink(missing_ok=True)
        return found

    def take(self, at_step: int) -> list[dict[str, Any]]:
        """Return on rank 0 what was asked for, as JSON values, and write it to the journal."""
        found, self._found = self._found, []
        for request in found:
            asked = asdict(request) if request.what == LR else {"what": request.what}
            self._write({"event": ASKED, "at_step": at_step} | asked)
            _say(f"step {at_step}: asked by the control file: {' '.join(map(str, asked.values()))}")
        self._taken.unlink(missing_ok=True)
        return [asdict(request) for request in found]

    def _write(self, line: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # a full disk: the run itself says so
            self._journal.append(line, durable=True)

    def cut_lr(self, step: int, factor: float, num_steps: int) -> None:
        """Multiply the learning rate by `factor` at this step (0-based), and by less and less for `num_steps`."""
        self._cuts.append(LrCut(step, factor, num_steps))

    def lr_factor(self, step: int) -> float:
        """Return what the learning rate is multiplied by at this step (0-based): a closed form."""
        return lowest(self._cuts, step)

    def agree(self, *what: str) -> None:
        """Remember what all ranks are to do after the step under way."""
        self._agreed.update(what)

    def agreed(self) -> set[str]:
        """Return what is to be done now, once."""
        wanted, self._agreed = self._agreed, set()
        return wanted


def parse(line: str) -> Request | None:
    """Return what a line of the file asks for; None where it asks for nothing that there is."""
    what, *rest = line.split() or [""]
    if what in (SAVE, EVALUATE, STOP) and not rest:
        return Request(what)
    if what != LR or not 1 <= len(rest) <= 2:
        return None
    try:
        factor, num_steps = float(rest[0]), int(rest[1]) if len(rest) == 2 else DEFAULT_LR_STEPS
    except ValueError:
        return None
    return Request(LR, factor, num_steps) if 0 < factor < 1 and 1 <= num_steps <= MAX_STEPS else None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
