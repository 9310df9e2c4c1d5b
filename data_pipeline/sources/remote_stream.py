"""The bytes of a remote file in order. A broken connection is taken up where it broke; the end is the file's own."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, cast

from data_pipeline.sources.source import InputChanged, TruncatedInput
from foundation.errors import InputError

BUFFER_BYTES = 1 << 20
WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0)  # before each try; so many tries
WHOLE_TRY_BYTES = 8 << 20  # a try that brought these counts as none: of a large file, any number of connections break
GIVEN_UP = range(400, 500)  # HTTP: what was asked for is wrong, and stays so, but for these
PASSING = (408, 425, 429)  # too slow, too early, too many


class Version(NamedTuple):
    """What is known of a file before it is read: its size in bytes, None where unknown; and its version, or ''."""

    size: int | None
    name: str


class RemoteStream(io.RawIOBase):
    """A file that is read through connections that may break.

    Args:
        where: the file's address as it may be shown.
        version: of the file when it was listed.
        open_at: opens a connection that begins at a byte.
        changed: asks the server whether the file is another one now.
        told: makes an error for users of one that is no hope.
    """

    def __init__(
        self,
        where: str,
        version: Version,
        open_at: Callable[[int], Any],
        changed: Callable[[], bool],
        told: Callable[[Exception], InputError],
    ) -> None:
        self._where, self._version = where, version
        self._open_at, self._changed, self._told = open_at, changed, told
        self._stream: Any = None
        self._offset = 0
        self._tries = self._since_break = 0
        self._broke = False  # and this is where to go on

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._version.size}[whence]
        if start is None:
            raise InputError(f"{self._where}: its server does not tell its size, which its format needs; copy it first")
        if start + offset != self._offset:
            self._close_stream()
            self._offset, self._broke = start + offset, False
        return self._offset

    def readinto(self, buffer: Any) -> int:
        """Read some bytes, at the end of the file none.

        Raises:
            TruncatedInput: the connection ends, or breaks too often, before the file does.
            InputChanged: the file is another one than was listed.
            InputError: access is denied, or the server contradicts itself.
        """
        while True:
            try:
                data = self._read(len(buffer))
            except InputError:
                raise
            except Exception as error:  # of fsspec, aiohttp, botocore: each has its own
                self._recover(error)
                continue
            size = self._version.size
            if data or size is None or self._offset >= size:
                break
            self._recover(EOFError("the connection ends too early"))
        buffer[: len(data)] = data
        self._advance(len(data))
        return len(data)

    def close(self) -> None:
        self._close_stream()
        super().close()

    def _read(self, most: int) -> bytes:
        size = self._version.size
        if self._stream is None:
            if size is not None and self._offset >= max(size, 1):  # there are no bytes from there on to ask for
                return b""
            self._stream = self._open_at(self._offset)
            self._check_answer()
        return cast(bytes, self._stream.read(most))

    def _advance(self, num_bytes: int) -> None:
        self._offset += num_bytes
        self._since_break += num_bytes
        if self._since_break >= WHOLE_TRY_BYTES:
            self._tries = 0
        if self._version.size is not None and self._offset > self._version.size:
            raise self._contradiction(f"more than {self._version.size:,} bytes come")

    def _recover(self, error: Exception) -> None:
        """Wait and be ready to go on where it broke, or raise."""
        self._close_stream()
        if _is_final(error):
            raise self._told(error) from error
        if self._tries == len(WAITS_S):
            raise self._short(error) from error
        wait_s = WAITS_S[self._tries]
        self._tries += 1
        self._since_break, self._broke = 0, True
        print(
            f"{self._where}: the connection broke at byte {self._offset:,} ({type(error).__name__}); goes on there in "
            f"{wait_s:g} s, try {self._tries} of {len(WAITS_S)}",
            file=sys.stderr,
            flush=True,
        )
        time.sleep(wait_s)

    def _short(self, error: Exception) -> InputError:
        of = f" of {self._version.size:,}" if self._version.size is not None else ""
        return TruncatedInput(
            f"{self._where}: ends or breaks after byte {self._offset:,}{of}, {len(WAITS_S) + 1} times in a row "
            f"({type(error).__name__}); run again later, or copy the file first"
        )

    def _check_answer(self) -> None:
        """Hold an answer of HTTP against what was asked for; other streams of fsspec do that themselves."""
        answer = getattr(self._stream, "r", None)
        if self._broke and self._changed():
            raise InputChanged(f"{self._where}: changed while it was read; let its writer finish and run again")
        if answer is None:
            return
        size = self._version.size
        if answer.status == 206:
            begins, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            if begins.partition("-")[0] != str(self._offset):
                raise self._contradiction(f"asked for bytes from {self._offset} on, it sends {begins or 'others'}")
        else:
            total = answer.headers.get("Content-Length", "")
            self._pass_over(answer)
        if size is not None and total.isdigit() and int(total) != size:
            raise self._contradiction(f"it now says {int(total):,} bytes")

    def _pass_over(self, answer: Any) -> None:
        """Go to the offset of an answer that begins at the file's first byte: its server knows no ranges."""
        if self._offset and not self._broke:
            raise InputError(
                f"{self._where}: its server sends whole files alone, and this format is read in parts; copy it first"
            )
        if self._offset and not self._version.name:
            raise InputError(
                f"{self._where}: the connection broke at byte {self._offset:,}, and its server can neither go on there "
                "nor tell whether the file is still the same; run again, or copy it first"
            )
        left = self._offset
        while left:
            data = self._stream.read(min(left, BUFFER_BYTES))
            if not data:
                raise EOFError("the connection ends too early")
            left -= len(data)

    def _contradiction(self, what: str) -> InputError:
        size = "of unknown size" if self._version.size is None else f"of {self._version.size:,} bytes"
        return InputError(
            f"{self._where}: was listed as {size}, but {what}; it changed, or its server is broken: run again, "
            "or copy it first"
        )

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(Exception):  # a broken one may not close either
                stream.close()


def buffered(stream: RemoteStream) -> BinaryIO:
    """Return a stream whose `read(n)` gives n bytes, fewer at the end of the file alone."""
    return io.BufferedReader(stream, BUFFER_BYTES)


def tried_again(call: Callable[[], Any], where: str) -> Any:
    """Return what a call gives, tried again where a server of HTTP answers that it may do better later."""
    for wait_s in WAITS_S:
        try:
            return call()
        except Exception as error:  # of fsspec, or of any of the packages below it
            status = http_status(error)
            if status is None or (status < 500 and status not in PASSING):
                raise
            print(f"{where}: its server answers with HTTP {status}; asked again in {wait_s:g} s", file=sys.stderr)
            time.sleep(wait_s)
    return call()


def http_status(error: BaseException | None) -> int | None:
    """Return the HTTP status that an error is about, or was caused by."""
    while error is not None:
        status = getattr(error, "status", None)
        if isinstance(status, int):
            return status
        error = error.__cause__
    return None


def _is_final(error: Exception) -> bool:
    """Return whether another try would end like this one."""
    status = http_status(error)
    if status is not None:
        return status in GIVEN_UP and status not in PASSING
    return isinstance(error, FileNotFoundError | PermissionError | ImportError)
