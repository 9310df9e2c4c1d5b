"""The process that html_process starts: reads pages with trafilatura, one after the other, until its input ends.

Run by its path, not as a module of the package: it imports nothing of this project, and starts in under a second.
In come batches, out go answers: each number is 8 bytes, little-endian. A batch is the number of its pages, then of each
its length and bytes; an answer is its length, then "+" and the text, or "-" and the reason.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import logging
import os
import re
import resource
import signal
import struct
import sys
from typing import Any, BinaryIO

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LENGTH = struct.Struct("<q")
# of characters that XML can't hold: lxml refuses them, and trafilatura then gives up the page
CONTROL_REFERENCE = re.compile(
    r"&#(?:0*(?:[1-8]|1[124-9]|2\d|3[01]|6553[45])(?!\d)"
    r"|[xX]0*(?:[1-8bBcCeEfF]|1[\da-fA-F]|[fF]{3}[eEfF])(?![\da-fA-F]));?"
)
# what comes after these is dropped by lxml 6.1, and read by every browser
WHOLE_END = re.compile(r"</(?:html|body)[\t\n\f\r ]*>", re.IGNORECASE)
WHOLE_CLOSED = re.compile(r"<(html|body)([\t\n\f\r ][^<>]*)?/>", re.IGNORECASE)
GAVE_UP = {"ERR_NO_MEMORY": b"html_memory", "ERR_RESOURCE_LIMIT": b"html_depth"}  # errors of libxml2


def main() -> None:
    """Serve until the input ends."""
    pipe_in, pipe_out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not look like an answer
    batch = read_batch(pipe_in)
    settings = json.loads(batch[0])
    end_with_parent(settings["parent"])
    limit_memory(settings["memory_bytes"])
    logging.disable()
    read = Reader(settings["options"])
    answer(pipe_out, b"ready")
    while batch := read_batch(pipe_in):
        for page in batch:
            signal.setitimer(signal.ITIMER_PROF, settings["cpu_s"])  # ends this process, also in native code
            text = read(page)
            signal.setitimer(signal.ITIMER_PROF, 0)
            answer(pipe_out, text)


class Reader:
    """Turns a page into an answer."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options, self._extract = options, importlib.import_module("trafilatura").extract
        self._repair = importlib.import_module("trafilatura.utils").repair_faulty_html
        self._html, self._etree = importlib.import_module("lxml.html"), importlib.import_module("lxml.etree")

    def __call__(self, page: bytes) -> bytes:
        try:
            return self._read(page)
        except MemoryError:
            return b"-html_memory"
        except RecursionError:
            return b"-html_recursion"
        except Exception as error:
            return b"-html_" + type(error).__name__.lower().encode()

    def _read(self, page: bytes) -> bytes:
        parser = self._html.HTMLParser(
            huge_tree=True, no_network=True, remove_comments=True, remove_pis=True, collect_ids=False,
            default_doctype=False, encoding="utf-8",
        )  # fmt: skip
        try:
            tree = self._html.document_fromstring(self._repaired(page.decode()).encode(), parser=parser)
        except self._etree.ParserError:  # no element in it, and no text
            return b"+"
        except self._etree.XMLSyntaxError:
            return b"-" + _gave_up(parser, b"html_parser")
        if reason := _gave_up(parser, b""):
            return b"-" + reason
        text = self._extract(tree, **self._options)
        return b"+" + (text or "").encode()

    def _repaired(self, page: str) -> str:
        """Return the page without what makes trafilatura or lxml drop text."""
        page = CONTROL_REFERENCE.sub("", self._repair(page, page[:50].lower()))
        return WHOLE_END.sub("", WHOLE_CLOSED.sub(r"<\1\2>", page))


def _gave_up(parser: Any, otherwise: bytes) -> bytes:
    """Return why libxml2 read no further, which it says in its log alone."""
    return next((GAVE_UP[entry.type_name] for entry in parser.error_log if entry.type_name in GAVE_UP), otherwise)


def end_with_parent(parent: int) -> None:
    """Never outlive the parent: by a signal on Linux; everywhere the input ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def limit_memory(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # macOS knows the limit and does not hold to it
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def read_batch(pipe: BinaryIO) -> list[bytes]:
    """Return the next batch; an empty one where the input has ended."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return []
    return [read_frame(pipe) for _ in range(LENGTH.unpack(head)[0])]


def read_frame(pipe: BinaryIO) -> bytes:
    head = pipe.read(LENGTH.size)
    size = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else 1
    frame = pipe.read(size)
    if len(frame) < size:
        os._exit(1)  # the parent is gone
    return frame


def answer(pipe: BinaryIO, content: bytes) -> None:
    pipe.write(LENGTH.pack(len(content)) + content)
    pipe.flush()


if __name__ == "__main__":
    main()
