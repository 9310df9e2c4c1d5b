"""Where a run's events become messages: chosen by kind, held back when they come too often, sent until they arrive."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from pretrain.metrics.alerts.events import Event, Kind
from pretrain.metrics.alerts.messages import Message, Refused, Sender

MAX_SHOWN = 5  # events that a message tells one by one
AT_ONCE: frozenset[Kind] = frozenset({"start", "stop", "finish"})  # they are few
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
        send: sends one; raises where it did not arrive: `Refused` where it never will.
        explain: an error of `send` in words that hold no secret.
        say: tells the console, once, that alerts don't arrive, and once that some are dropped.
        clock: that only goes forward, seconds.
    """

    def __init__(
        self,
        sender: Sender,
        kinds: Collection[Kind],
        min_interval_s: float,
        send: Callable[[Message], None],
        explain: Callable[[Exception], str],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sender, self._min_interval_s = sender, min_interval_s
        self._send, self._explain, self._say, self._clock = send, explain, say, clock
        self._waiting: dict[Kind, _Waiting] = {kind: _Waiting() for kind in kinds}
        self._retry_s, self._next_s, self._said = RETRY_S, -math.inf, set[str]()

    @property
    def is_empty(self) -> bool:
        """Whether all has been told."""
        return not any(waiting.count for waiting in self._waiting.values())

    def add(self, event: Event) -> None:
        """Take an event; one of a kind that nobody wants is gone."""
        if (waiting := self._waiting.get(event.kind)) is not None:
            waiting.events.append(event)
            waiting.count += 1

    def send_due(self, everything: bool = False) -> None:
        """Send what is due; what doesn't arrive stays for a later try.

        Args:
            everything: also what is held back: the run has ended.
        """
        if self._clock() < self._next_s:
            return
        for kind, waiting in self._waiting.items():
            rests = self._clock() - waiting.told_s < self._min_interval_s and kind not in AT_ONCE
            if (everything or not rests) and not self._is_sent(kind):
                return

    def send_last(self) -> None:
        """Try once to send all, also what has failed a moment ago, or comes after something that fails."""
        for kind in self._waiting:
            self._is_sent(kind)

    def _is_sent(self, kind: Kind) -> bool:
        """Send what waits of a kind, if anything does; return whether nothing does any more."""
        waiting = self._waiting[kind]
        if not waiting.count:
            return True
        try:
            self._send(self._sender.message(list(waiting.events), waiting.count))
        except Refused as refused:  # another one of another kind may be taken
            told = str(refused)
            self._tell("dropped", told, f"an alert is refused ({told}); such ones are dropped, and training goes on")
        except Exception as error:  # whatever it is: the next try may do
            told = self._explain(error)
            self._tell("not sent", told, f"an alert can't be sent ({told}); it is tried again, and training goes on")
            # after it has failed: a receiver that hangs takes longer for that than the pause is
            self._next_s, self._retry_s = self._clock() + self._retry_s, min(2 * self._retry_s, MAX_RETRY_S)
            return False
        self._retry_s = RETRY_S
        self._waiting[kind] = _Waiting(told_s=self._clock())
        return True

    def _tell(self, what: str, why: str, sentence: str) -> None:
        """Write it in the log; on the console, once each."""
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {what}: {why}", file=sys.stderr, flush=True)
        if what not in self._said:
            self._say(sentence)
        self._said.add(what)
