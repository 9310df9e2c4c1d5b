"""An alert as it is sent: one message of everything of a kind that has happened since the last one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.secrets import INSTEAD, to_show
from pretrain.metrics.alerts.events import Event, Kind
from pretrain.run_files import REPORT


class Refused(Exception):
    """The receiver takes this message neither now nor later; says why, without a secret."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent.

    Attributes:
        kind: of the events. who: which run, and where. title: what happened, a few words. told: the same, sentences.
        look: where, lines of files and commands. fields: all of it as JSON values, for a program.
    """

    kind: Kind
    who: str
    title: str
    told: str
    look: str
    fields: dict[str, Any]

    @property
    def subject(self) -> str:
        return f"{self.who}: {self.title}"

    @property
    def body(self) -> str:
        return f"{self.told}\n{self.look}"

    @property
    def text(self) -> str:
        return f"{self.subject}\n{self.body}"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who an alert is from.

    Attributes:
        run: its name. host: of rank 0. run_dir: of the run, in full.
        hidden: values that stand in no message, such as the address that it is sent to.
    """

    run: str
    host: str
    run_dir: Path
    hidden: tuple[str, ...] = ()

    def message(self, events: Sequence[Event], count: int) -> Message:
        """Return one message.

        Args:
            events: of one kind, the newest ones, oldest first. count: how many there were.
        """
        last = events[-1]
        at = "" if last.step is None else f" at step {last.step}"
        what, look = self._clean(each.what for each in events), self._clean(last.look)
        (then,) = self._clean([last.then])
        page = str(self.run_dir / REPORT)
        more = [f"{count} of them; the last {len(events)}:"] if count > len(events) else []
        fields = {
            "kind": last.kind,
            "run": self.run,
            "host": self.host,
            "run_dir": str(self.run_dir),
            "step": last.step,
            "what": what[-1],
            "now": then,
            "look": look,
            "page": page,
            "events": what,
            "count": count,
            "at_s": round(time.time(), 3),
        }
        told = "\n".join([*more, *what, f"now: {then}"])
        places = "\n".join([*(f"look: {each}" for each in look), f"page: {page}"])
        return Message(last.kind, f"{self.run} on {self.host}", last.title + at, told, places, fields)

    def _clean(self, texts: Iterable[str]) -> list[str]:
        """Return texts without secrets: a reason may be an error's, which may repeat anything."""
        cleaned = []
        for text in texts:
            for value in self.hidden:
                text = text.replace(value, INSTEAD)
            cleaned.append(to_show(text))
        return cleaned
