"""The other side of `Child`: what a logger's process does with the messages that training hands it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from foundation.stops import outlive_stops

Message = dict[str, Any]


def received() -> Iterator[Message]:
    """Yield the messages, the greeting first, until training ends or is killed."""
    outlive_stops()  # the lines of the last save are still to come; it ends when stdin does
    yield from (orjson.loads(raw) for raw in sys.stdin.buffer)


def serve(messages: Iterator[Message], take: Callable[[Message], None]) -> str:
    """Hand each message to `take`; return how the run ended: as the last message says, `killed` without one.

    What `take` raises is said once: the lines that follow may do.
    """
    failed = False
    for message in messages:
        if "close" in message:
            return str(message["close"])
        try:
            take(message)
        except Exception as error:
            if not failed:
                say(f"a line could not be logged ({type(error).__name__}: {error}); more of its kind are not reported")
            failed = True
    return "killed"


def say(text: str) -> None:
    """Tell the trainer's console, if it still runs."""
    with contextlib.suppress(OSError):
        print(text, flush=True)
