"""A process that reads pages for this one: it may take too long, run out of memory or crash, and is started anew."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from foundation.errors import GroundworkError

SCRIPT = Path(__file__).with_name("html_child.py")
BATCH_BYTES = 1 << 20  # of pages given at a time: one write, and answers that are small against the child's work
MAX_PAGES = 2_000  # that one process reads: what a parser leaks stays small (adbar/trafilatura issue 216)
LENGTH = struct.Struct("<q")


class ProcessFailed(GroundworkError):
    """The process that reads pages ended before its first page."""


class Answer(NamedTuple):
    """What became of a page. Attributes: text: None where it could not be read; reason: then one word."""

    text: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one page. Attributes: cpu_s: processor time; memory_bytes: address space of the process."""

    cpu_s: float
    memory_bytes: int


class PageProcess:
    """Reads pages in a process of its own, one after the other; the process is started when the first page comes.

    Args:
        options: of trafilatura's `extract`.
        limits: of a page.
    """

    def __init__(self, options: dict[str, Any], limits: Limits) -> None:
        self._settings = {"options": options, "cpu_s": limits.cpu_s, "memory_bytes": limits.memory_bytes}
        self._child: _Child | None = None

    def read(self, pages: list[bytes]) -> list[Answer]:
        """Return what became of each page. A page that fails is tried again, alone in a fresh process.

        Raises:
            ProcessFailed: no process can be started.
        """
        answers: list[Answer] = []
        for batch in _batches(pages):
            begin = len(answers)
            while (done := len(answers) - begin) < len(batch):
                answers += self._ask(batch[done:])
        return answers

    def _ask(self, batch: list[bytes]) -> list[Answer]:
        """Return the answers up to the first page that failed, that one's second try included."""
        if self._child is None or self._child.num_pages + len(batch) > MAX_PAGES:
            self._end()
            self._child = _Child(self._settings)
        was_fresh = self._child.num_pages == 0
        answers = self._child.ask(batch)
        failed = next((number for number, answer in enumerate(answers) if answer.text is None), None)
        if failed is None:
            return answers
        self._end()
        if failed == 0 and was_fresh:
            return answers[:1]
        return [*answers[:failed], *self._ask([batch[failed]])]

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
        self._child = None


class _Child:
    def __init__(self, settings: dict[str, Any]) -> None:
        self.num_pages = 0
        # -P: the script's own folder holds modules of the same names as the standard library's
        command = [sys.executable, "-P", str(SCRIPT)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.end = weakref.finalize(self, _end, self._process)
        with contextlib.suppress(BrokenPipeError):  # the missing greeting says it
            self._write([json.dumps(settings | {"parent": os.getpid()}).encode()])
        if self._read() is None:
            code = self._process.wait()
            raise ProcessFailed(
                f"the process that reads HTML ended before its first page, with exit code {code}; what it wrote stands "
                "above; with a small max_memory_bytes it may lack the room to start"
            )

    def ask(self, batch: list[bytes]) -> list[Answer]:
        """Return the answers of the pages up to one that ended the process, that one's with the reason."""
        self.num_pages += len(batch)
        answers: list[Answer] = []
        with contextlib.suppress(BrokenPipeError):  # it ended meanwhile, which the first answer says
            self._write(batch)
        while len(answers) < len(batch):
            answer = self._read()
            if answer is None:
                return [*answers, Answer(None, _reason(self._process.wait()))]
            is_text, content = answer[:1] == b"+", answer[1:].decode()
            answers.append(Answer(content) if is_text else Answer(None, content))
        return answers

    def _write(self, frames: list[bytes]) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(LENGTH.pack(len(frames)))  # all are read before the first is answered: neither side waits for ever
        for frame in frames:
            pipe.write(LENGTH.pack(len(frame)))
            pipe.write(frame)
        pipe.flush()

    def _read(self) -> bytes | None:
        """Return the next frame, None where the process has ended."""
        pipe = self._process.stdout
        assert pipe is not None
        head = _exactly(pipe, LENGTH.size)
        return None if head is None else _exactly(pipe, LENGTH.unpack(head)[0])


def _exactly(pipe: BinaryIO | Any, size: int) -> bytes | None:
    data: bytes = pipe.read(size)
    return data if len(data) == size else None


def _reason(exit_code: int) -> str:
    return "html_cpu_time" if exit_code == -signal.SIGPROF else "html_crash"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # of what was not yet written
                pipe.close()


def _batches(pages: list[bytes]) -> list[list[bytes]]:
    """Return the pages in batches of up to BATCH_BYTES, a larger page by itself."""
    batches: list[list[bytes]] = []
    room = 0
    for page in pages:
        if not batches or len(page) > room or len(batches[-1]) == MAX_PAGES:
            batches.append([])
            room = BATCH_BYTES
        batches[-1].append(page)
        room -= len(page)
    return batches
