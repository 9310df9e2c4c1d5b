"""Where a run's events become messages: chosen by kind, held back when they come too often, sent until they arrive."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from pretrain.metrics.alerts.events import Event, Kind
from pretrain.metrics.alerts.messages import Message, Sender

MAX_SHOWN = 5  # events that a message tells one by one
AT_ONCE: frozenset[Kind] = frozenset({"start", "stop", "finish"})  # a start has one of each at most
RETRY_S, MAX_RETRY_S = 1.0, 300.0  # between two tries at a receiver that is down; doubled each time


@dataclass(slots=True)
class _Waiting:
    """What of a kind is to be told."""

    events: deque[Event] = field(default_factory=lambda: deque(maxlen=MAX_SHOWN))
    count: int = 0
    told_s: float = -math.inf


class Desk:
    """Sends what is chosen.

    Args:
        sender: who the messages are from.
        kinds: that are sent.
        min_interval_s: seconds between two messages of a kind; what happens meanwhile is told in the next one.
        send: sends one; raises where it did not arrive.
        explain: an error of `send` in words that hold no secret.
        say: tells the console, once, that alerts don't arrive.
    """

    def __init__(
        self,
        sender: Sender,
        kinds: Collection[Kind],
        min_interval_s: float,
        send: Callable[[Message], None],
        explain: Callable[[Exception], str],
        say: Callable[[str], None],
    ) -> None:
        self._sender, self._min_interval_s = sender, min_interval_s
        self._send, self._explain, self._say = send, explain, say
        self._waiting: dict[Kind, _Waiting] = {kind: _Waiting() for kind in kinds}
        self._failed, self._retry_s, self._next_s = False, RETRY_S, -math.inf

    @property
    def is_empty(self) -> bool:
        """Whether all has been told."""
        return not any(waiting.count for waiting in self._waiting.values())

    def add(self, event: Event) -> None:
        """Take an event; one of a kind that nobody wants is gone."""
        if (waiting := self._waiting.get(event.kind)) is not None:
            waiting.events.append(event)
            waiting.count += 1

    def send_due(self, now_s: float, everything: bool = False) -> None:
        """Send what is due; what doesn't arrive stays for a later try.

        Args:
            now_s: of a clock that only goes forward. everything: also what is held back: the run has ended.
        """
        if now_s < self._next_s:
            return
        for kind, waiting in self._waiting.items():
            rests = now_s - waiting.told_s < self._min_interval_s and kind not in AT_ONCE
            if not waiting.count or (rests and not everything):
                continue
            try:
                self._send(self._sender.message(list(waiting.events), waiting.count))
            except Exception as error:  # whatever it is: the next try may do
                self._miss(error, now_s)
                return
            self._retry_s = RETRY_S
            self._waiting[kind] = _Waiting(told_s=now_s)

    def _miss(self, error: Exception, now_s: float) -> None:
        told = self._explain(error)
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} not sent: {told}", file=sys.stderr, flush=True)
        if not self._failed:
            self._say(f"an alert can't be sent ({told}); it is tried again, and training goes on")
        self._failed = True
        self._next_s, self._retry_s = now_s + self._retry_s, min(2 * self._retry_s, MAX_RETRY_S)
